"""`glioseg reproduce`: make a registered version's numbers again."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.mlops.tracking.storage import Lab

Model = Annotated[
    str, typer.Argument(help="A registered version: models:/glioseg@champion or models:/glioseg/3.")
]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train again first, and compare the weights too.")]


def reproduce(model: Model, retrain: Retrain = False) -> None:
    """Evaluate a registered version again, from its own commit and data, and say whether the metrics agree.

    On the machine that evaluated it they must agree exactly, on another one within a tolerance. The work is
    done in a temporary work tree with a lab of its own; the project's files and runs are not touched.
    """
    from glioseg.mlops.provenance import reproduce  # MLflow takes seconds to import
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line("glioseg reproduce", stopped="stopped; the work tree is removed"):
        found = reproduce.reproduce(connect(Lab.here()), model, root=Path(), retrain=retrain)
    print(found.line)
    if not found.agrees:
        sys.exit(1)
