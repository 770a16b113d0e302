"""Commands on a project's folder: `glioseg preset`, `report`, `prune-runs` and `relocate`."""

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioseg.cli.options import user_path
from glioseg.core.errors import one_line_errors
from glioseg.core.files import write_atomic
from glioseg.mlops.maintenance.relocate import relocate as relocate_storage
from glioseg.mlops.tracking.mlflow_locations import DATABASE
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import load_params
from glioseg.params.presets import OF_OWN_CASES, apply_preset

if TYPE_CHECKING:
    from glioseg.mlops.maintenance.prune import Unreferenced

PAGE = Path("reports/experiments.html")
Output = Annotated[Path, typer.Option("-o", "--output", callback=user_path, help="HTML file to write.")]
Yes = Annotated[bool, typer.Option("--yes", help="Remove without confirmation.")]
OldFolder = Annotated[
    Path | None,
    typer.Argument(
        callback=user_path, help="Former folder of the project; needed if the database names several."
    ),
]


def preset(name: Annotated[str, typer.Argument(help="demo, seed, brats or adapt.")]) -> None:
    """Write the settings of a preset into params.yaml; all other settings stay as they are.

    demo: minutes on two CPU cores. seed: the set-up of the 2018 project. brats: a full BraTS cohort on a
    GPU. adapt: 5 to 50 labelled cases of your own, starting from the built-in model.
    """
    with one_line_errors("glioseg preset"):
        changed, scans = apply_preset(name), load_params().data.scans
    print(f"params.yaml: {', '.join(changed) if changed else 'nothing to change'}")
    if name == OF_OWN_CASES and scans is None:
        print("params.yaml: set data.source: folder, and data.folder to the folder of your labelled cases")


def report(output: Output = PAGE) -> None:
    """Write one offline HTML page over all runs of this project.

    It holds a leaderboard of the evaluated models, Optuna's plots of every study, and a comparison of any
    two models that were tested on the same cases, case by case, with their figures.
    """
    storage = ProjectStorage.current()
    if not (storage.shared or storage.folder.is_dir()):
        sys.exit(f"glioseg report: {storage.folder}: no such folder: run it in the folder of a project")
    # MLflow, Optuna and plotly take seconds to import.
    from glioseg.mlops.leaderboard.evaluations import find_evaluations
    from glioseg.mlops.leaderboard.page import experiments_page
    from glioseg.mlops.leaderboard.studies import find_studies
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line_errors("glioseg report"):
        client = connect(storage)
        evaluations, studies = find_evaluations(client), find_studies(client, storage)
        page = experiments_page(evaluations, studies).encode()
        write_atomic(output, page)
    print(f"{output}: models {len(evaluations.shown)}, studies {len(studies)}, {len(page) / 1e6:.1f} MB")


def prune_runs(yes: Yes = False) -> None:
    """Remove from mlruns everything that no registered model version needs, after a confirmation.

    The command keeps all versions of all registered models with their training, evaluations and studies;
    everything that the reports of this project name, since the next `dvc repro` may register it; and
    running runs. It removes the rest, including what is only marked as deleted on MLflow's page.
    """
    storage = ProjectStorage.current()
    if not storage.shared and not (storage.folder / DATABASE).exists():
        sys.exit(f"glioseg prune-runs: {storage.folder / DATABASE}: expected MLflow's database, found none")
    from glioseg.mlops.maintenance.prune import (  # imports MLflow, which takes four seconds
        find_unreferenced,
        prune,
    )
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line_errors("glioseg prune-runs"):
        client = connect(storage)
        with storage.exclusive() as exclusive:
            unreferenced = find_unreferenced(storage, client, exclusive=exclusive)
        if not exclusive:
            print("another process uses this project: runs that may be running are kept")
        if not unreferenced:
            print("mlruns: nothing to remove")
            return
        print(unreferenced_table(unreferenced))
        if yes or typer.confirm("Remove all this permanently?"):
            removed = prune(storage, client, unreferenced)
            size = _megabytes(sum(item.size_bytes for item in removed))
            print(f"mlruns: removed {len(removed)} items, {size} of files; no registered model has changed")


def unreferenced_table(unreferenced: "Iterable[Unreferenced]") -> str:
    """The items to be removed: a line for each kind, with their number and the size of their files."""
    lines, total = [f"{'':24}{'number':>10}{'files':>12}"], 0
    for what, group in groupby(unreferenced, key=lambda item: item.category):
        sizes = [item.size_bytes for item in group]
        total += sum(sizes)
        lines.append(f"{what:24}{len(sizes):10}{_megabytes(sum(sizes)):>12}")
    return "\n".join([*lines, f"{'total':34}{_megabytes(total):>12}"])


def _megabytes(size_bytes: int) -> str:
    """A size in MB.

    >>> _megabytes(1_234_567)
    '1.2 MB'
    """
    return f"{size_bytes / 1e6:.1f} MB"


def relocate(old: OldFolder = None) -> None:
    """Update MLflow's database after the project's folder was moved, renamed, copied or restored.

    MLflow stores absolute addresses of all its files, which become wrong when the folder changes. The
    command replaces them by the current folder, and keeps a copy of the database as it was.
    """
    storage = ProjectStorage.current()
    with one_line_errors("glioseg relocate"):
        done = relocate_storage(storage, old)
    if done is None:
        print(f"mlruns: its database names {storage.root} already, nothing to change")
        return
    counts = ", ".join(f"{count} in {column}" for column, count in done.changed.items())
    print(f"mlruns: moved from {done.old} to {storage.root}: {counts}")
    print(f"copy of the database as it was: {done.backup.relative_to(storage.root)}")
