"""`glioseg prune-runs`: free mlruns of what no registered model needs."""

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.mlops.tracking.mlflow_locations import DATABASE
from glioseg.mlops.tracking.storage import Lab

if TYPE_CHECKING:
    from glioseg.mlops.maintenance.unreferenced import Waste

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def prune_runs(yes: Yes = False) -> None:
    """Remove what no registered model version needs from mlruns; show it first, and ask.

    Kept are all versions of all registered models, with the training, the evaluations and the study of
    each; what the reports of this project name, since the next `dvc repro` may register it; and what is
    running. All else goes, also what was only marked as deleted in MLflow's page.
    """
    lab = Lab.here()
    if not lab.shared and not (lab.folder / DATABASE).exists():
        sys.exit(f"glioseg prune-runs: {lab.folder / DATABASE}: expected MLflow's database, found none")
    from glioseg.mlops.maintenance.prune import prune  # MLflow loads for four seconds
    from glioseg.mlops.maintenance.unreferenced import find_waste
    from glioseg.mlops.tracking.mlflow_runs import connect
    from glioseg.mlops.tracking.process_locks import undisturbed

    with one_line("glioseg prune-runs"):
        client = connect(lab)
        with undisturbed(lab) as quiet:
            waste = find_waste(lab, client, quiet=quiet)
        if not quiet:
            print("another process is at work here: what may be running stays")
        if not waste:
            print("mlruns: nothing to remove")
            return
        print(waste_table(waste))
        if yes or typer.confirm("Remove all this for good?"):
            gone = prune(lab, client, waste)
            size = _size(sum(one.size for one in gone))
            print(
                f"mlruns: removed {len(gone)} things, {size} of files; all registered models are as they were"
            )


def waste_table(waste: Iterable["Waste"]) -> str:
    """What would go: a line a sort of thing, with how many there are and the size of their files."""
    lines, total = [f"{'':24}{'how many':>10}{'files':>12}"], 0
    for what, group in groupby(waste, key=lambda one: one.what):
        sizes = [one.size for one in group]
        total += sum(sizes)
        lines.append(f"{what:24}{len(sizes):10}{_size(sum(sizes)):>12}")
    return "\n".join([*lines, f"{'in all':34}{_size(total):>12}"])


def _size(count: int) -> str:
    """Bytes for a person.

    >>> _size(1_234_567)
    '1.2 MB'
    """
    return f"{count / 1e6:.1f} MB"
