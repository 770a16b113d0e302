"""The experiments page as one self-contained HTML file, and the rows of its leaderboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import jinja2
from plotly.offline import get_plotlyjs

from glioseg.core.labels import REGIONS
from glioseg.mlops.leaderboard.comparison import comparable_models, comparison_data, fill_gallery
from glioseg.mlops.leaderboard.evaluations import EvaluatedModel, Evaluations
from glioseg.mlops.leaderboard.studies import StudyRecord
from glioseg.mlops.tracking.git_dvc import UNKNOWN
from glioseg.mlops.tracking.mlflow_runs import SOURCE

PICTURES_BYTES = 24_000_000
"""The size limit for pictures, which keeps the page with plotly's script and the numbers below 30 MB."""
HASH_DIGITS = 8
"""Digits of a hash that the page shows."""


def experiments_page(evaluations: Evaluations, studies: Sequence[StudyRecord]) -> str:
    """The page's HTML with all pictures and scripts, so that it loads nothing from the network.

    Args:
        evaluations: from `find_evaluations`.
        studies: from `find_studies`.
    """
    compared = comparable_models(evaluations.test_sets)
    newest_first = sorted((model for models in compared for model in models), key=lambda model: model.when)[
        ::-1
    ]
    gallery = fill_gallery(newest_first, budget_bytes=PICTURES_BYTES)
    loader = jinja2.PackageLoader("glioseg.mlops.leaderboard")
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return template.get_template("experiments.html").render(
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        boards=[leaderboard(models) for models in evaluations.test_sets],
        others=evaluations.others,
        champions=evaluations.champions,
        column_groups=COLUMN_GROUPS,
        facts=FACTS,
        short=HASH_DIGITS,
        data=comparison_data(compared, gallery),
        left_out=gallery.left_out,
        studies=studies,
        plotly=get_plotlyjs() if studies else "",
    )


@dataclass(frozen=True)
class MetricColumn:
    """A column of the leaderboard: heading, name of the MLflow metric, decimals, and direction."""

    heading: str
    metric: str
    decimals: int = 3
    lower_is_better: bool = False


COLUMN_GROUPS: dict[str, tuple[MetricColumn, ...]] = {
    "Dice": (
        MetricColumn("mean", "mean_dice/mean"),
        *(MetricColumn(region, f"dice/{region}/mean") for region in REGIONS),
    ),
    "Lesion-wise Dice": tuple(MetricColumn(region, f"lesion_dice/{region}/mean") for region in REGIONS),
    "HD95, mm": tuple(
        MetricColumn(region, f"hd95_area_mm/{region}/mean", decimals=1, lower_is_better=True)
        for region in REGIONS
    ),
}
"""Groups of columns; each number is a mean over the test cases."""

FACTS = ("registered", "preset", "training run", "data", "commit", "tested")
"""The columns about a model's origin."""


@dataclass(frozen=True)
class Cell:
    """A number: the page shows `text` and sorts by `value`, which is None if it was not logged."""

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True)
class Fact:
    """A fact about a model's origin; `full_hash` is the hash that `text` shortens."""

    text: str
    full_hash: str = ""


@dataclass(frozen=True)
class Row:
    """A model in the leaderboard: its numbers, and its `FACTS`."""

    model: EvaluatedModel
    cells: Sequence[Cell]
    facts: Sequence[Fact]


def leaderboard(models: Sequence[EvaluatedModel]) -> list[Row]:
    """The rows of models that were tested on the same cases, sorted by decreasing mean Dice."""
    columns = [_cells(column, models) for group in COLUMN_GROUPS.values() for column in group]
    rows = [
        Row(model, cells, _facts(model))
        for model, cells in zip(models, zip(*columns, strict=True), strict=True)
    ]
    return sorted(
        rows, key=lambda row: -1 if row.cells[0].value is None else row.cells[0].value, reverse=True
    )


def _cells(column: MetricColumn, models: Sequence[EvaluatedModel]) -> list[Cell]:
    values = [model.metrics.get(column.metric) for model in models]
    known = [value for value in values if value is not None]
    best = (min if column.lower_is_better else max)(known, default=None)
    return [
        Cell(None, "–", best=False)
        if value is None
        else Cell(value, f"{value:.{column.decimals}f}", best=value == best and len(models) > 1)
        for value in values
    ]


def _facts(model: EvaluatedModel) -> list[Fact]:
    tags = model.tags
    run, commit = tags.get("trained_run", ""), tags.get("git_commit", UNKNOWN)
    trained = Fact(tags.get(SOURCE) or f"{run[:HASH_DIGITS]} {model.training}".strip(), run)
    dirty = " + changes" if tags.get("git_dirty") == "true" else ""
    return [
        Fact(", ".join(map(str, model.versions)) or "no"),
        Fact(tags.get("preset", UNKNOWN)),
        trained,
        Fact(model.data[:HASH_DIGITS], model.data),
        Fact("–") if SOURCE in tags else Fact(f"{commit[:HASH_DIGITS]}{dirty}", commit),
        Fact(f"{model.when:%Y-%m-%d %H:%M}"),
    ]
