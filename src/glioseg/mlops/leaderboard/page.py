"""The experiments page: one HTML file that holds all that it shows."""

from collections.abc import Sequence
from datetime import UTC, datetime

import jinja2
from plotly.offline import get_plotlyjs

from glioseg.mlops.leaderboard.comparison import comparable, comparison
from glioseg.mlops.leaderboard.evaluations import Evaluations
from glioseg.mlops.leaderboard.pictures import fill_gallery
from glioseg.mlops.leaderboard.rows import FACTS, NUMBERS, SHORT, leaderboard
from glioseg.mlops.leaderboard.studies import StudyRecord

PICTURES_BYTES = 24_000_000
"""Room for pictures: with plotly's script and the numbers the page stays below 30 MB."""


def experiments_page(evaluations: Evaluations, studies: Sequence[StudyRecord]) -> str:
    """Write the page's HTML: pictures and scripts are in it, nothing is fetched from anywhere.

    Args:
        evaluations: as from `find_evaluations`.
        studies: as from `find_studies`.
    """
    compared = comparable(evaluations.test_sets)
    newest_first = sorted((one for models in compared for one in models), key=lambda one: one.when)[::-1]
    gallery = fill_gallery(newest_first, budget_bytes=PICTURES_BYTES)
    loader = jinja2.PackageLoader("glioseg.mlops.leaderboard")
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return template.get_template("experiments.html").render(
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        boards=[leaderboard(models) for models in evaluations.test_sets],
        others=evaluations.others,
        numbers=NUMBERS,
        facts=FACTS,
        short=SHORT,
        data=comparison(compared, gallery),
        left_out=gallery.left_out,
        studies=studies,
        plotly=get_plotlyjs() if studies else "",
    )
