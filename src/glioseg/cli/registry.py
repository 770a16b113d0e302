"""Commands on registered versions: `glioseg lineage`, `glioseg reproduce` and `glioseg rollback`."""

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioseg.cli.options import user_path
from glioseg.core.errors import one_line_errors
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import load_params

if TYPE_CHECKING:
    from glioseg.mlops.provenance.lineage import LineageEntry

FIGURES = (".svg", ".png")
NAME_WIDTH, LINE_WIDTH = 28, 110

Model = Annotated[
    str, typer.Argument(help="Registered version, e.g. models:/glioseg@champion or models:/glioseg/3.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Figure = Annotated[
    Path | None,
    typer.Option("-o", "--output", callback=user_path, help="Also draw the lineage to a .svg or .png file."),
]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train again first, and compare the weights too.")]
To = Annotated[
    int | None, typer.Option(min=1, help="Version to promote, instead of the one with alias `previous`.")
]


def lineage(model: Model, as_json: AsJson = False, output: Figure = None) -> None:
    """Print the lineage of a registered version.

    The lineage lists the version's runs, study and trial, parameters, split, data, validation, commit and
    environment, each with the place where it is recorded. If a record is missing, the output gives the
    reason, and the exit code is 1.
    """
    if output and output.suffix not in FIGURES:
        sys.exit(f"glioseg lineage: {output}: expected a name that ends in {' or '.join(FIGURES)}")
    from glioseg.mlops.provenance.lineage import trace_lineage  # imports MLflow, which takes seconds
    from glioseg.mlops.provenance.record import open_version
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line_errors("glioseg lineage"):
        client = connect(ProjectStorage.current())
        recorded = open_version(client, model)
        entries = trace_lineage(client, recorded, root=Path())
        if output:
            from glioseg.mlops.provenance.lineage_figure import draw_lineage

            version = recorded.version
            draw_lineage(entries, output, title=f"How {version.name} version {version.version} came to be")
    print(_json(recorded.address, entries) if as_json else _text(entries))
    if any(entry.missing for entry in entries):
        sys.exit(1)


def _json(address: str, entries: "Sequence[LineageEntry]") -> str:
    complete = not any(entry.missing for entry in entries)
    content = {"model": address, "complete": complete, "links": [asdict(entry) for entry in entries]}
    return json.dumps(content, indent=2, ensure_ascii=False)


def _text(entries: "Sequence[LineageEntry]") -> str:
    """Two lines for each entry, its value and its source; the last line lists what is missing."""
    lines = []
    for entry in entries:
        value = f"MISSING: {entry.missing}" if entry.missing else entry.value
        indent = " " * NAME_WIDTH
        lines += textwrap.wrap(
            value,
            LINE_WIDTH,
            initial_indent=entry.name.ljust(NAME_WIDTH),
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        lines.append(f"{indent}from {entry.source}")
    missing = [entry.name for entry in entries if entry.missing]
    return "\n".join([*lines, "", f"missing: {', '.join(missing)}" if missing else "nothing is missing"])


def reproduce(model: Model, retrain: Retrain = False) -> None:
    """Evaluate a registered version again, from its own commit and data, and compare the metrics.

    On the machine that evaluated the version the metrics must agree exactly, on another machine within a
    tolerance. The command works in a temporary work tree with its own mlruns folder; it does not change the
    project's files or runs.
    """
    from glioseg.mlops.provenance import reproduce  # imports MLflow, which takes seconds
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line_errors("glioseg reproduce", interrupt_message="stopped; the work tree is removed"):
        agreement = reproduce.reproduce(
            connect(ProjectStorage.current()), model, root=Path(), retrain=retrain
        )
    print(agreement.message)
    if not agreement.agrees:
        sys.exit(1)


def rollback(to: To = None) -> None:
    """Make the previous champion the champion again; the version that it replaces becomes `previous`.

    A version that was rolled back never returns through the gate; only `glioseg rollback --to N` promotes it
    again. `glioseg serve` loads the new champion by itself; MLflow's own server must be restarted.
    """
    with one_line_errors("glioseg rollback"):
        name, storage = load_params().register_.name, ProjectStorage.current()
        # MLflow is imported after the settings are checked.
        from glioseg.mlops.registry.versions import Versions
        from glioseg.mlops.tracking.mlflow_runs import connect

        with storage.locked("registry", waiting="rollback: another process is registering a version"):
            print(Versions(connect(storage), name).roll_back(None if to is None else str(to)))
