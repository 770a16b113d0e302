"""`glioseg relocate`: make mlruns work again after its project was moved, renamed or restored."""

from pathlib import Path
from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.mlops.maintenance.relocate import relocate as relocate_lab
from glioseg.mlops.tracking.storage import Lab

Old = Annotated[
    Path | None,
    typer.Argument(help="The folder that the project was in, where the database names several."),
]


def relocate(old: Old = None) -> None:
    """Let MLflow's database name the folder that the project is in now.

    MLflow keeps whole addresses of all its files, which are wrong once the project's folder was moved,
    renamed, copied or restored elsewhere. A copy of the database from before is kept beside it.
    """
    lab = Lab.here()
    with one_line("glioseg relocate"):
        done = relocate_lab(lab, old)
    if done is None:
        print(f"mlruns: its database names {lab.root} already, nothing to change")
        return
    counts = ", ".join(f"{count} in {column}" for column, count in done.changed.items())
    print(f"mlruns: moved from {done.old} to {lab.root}: {counts}")
    print(f"the database from before is {done.backup.relative_to(lab.root)}")
