"""`glioseg report`: all models and studies of the project in one page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.core.files import write_whole
from glioseg.mlops.tracking.storage import Lab

PAGE = Path("reports/experiments.html")
Output = Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")]


def report(output: Output = PAGE) -> None:
    """Write one offline HTML page over all runs of this project.

    It holds a leaderboard of the evaluated models, Optuna's plots of every study, and any two models
    that were tested on the same cases side by side, case by case, with their pictures.
    """
    lab = Lab.here()
    if not (lab.shared or lab.folder.is_dir()):
        sys.exit(f"glioseg report: {lab.folder}: no such folder: run it in the project's own")
    # MLflow, Optuna and plotly take seconds.
    from glioseg.mlops.leaderboard.evaluations import find_evaluations
    from glioseg.mlops.leaderboard.page import experiments_page
    from glioseg.mlops.leaderboard.studies import find_studies
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line("glioseg report"):
        client = connect(lab)
        evaluations, studies = find_evaluations(client), find_studies(client, lab)
        page = experiments_page(evaluations, studies).encode()
        write_whole(output, page)
    print(f"{output}: models {len(evaluations.shown)}, studies {len(studies)}, {len(page) / 1e6:.1f} MB")
