"""The `glioseg` command and its subcommands."""

import sys
from importlib.metadata import version
from typing import Annotated, Any

from glioseg.core.entry import (
    INTERRUPTED_EXIT_CODE,
    InterruptedExit,
    print_interrupted,
    require_unix,
    was_interrupted,
)

if sys.platform == "win32":  # the imports below need modules that Windows lacks
    require_unix()

import typer
from typer.core import TyperGroup

from glioseg.cli.evaluate import evaluate
from glioseg.cli.forecast import forecast
from glioseg.cli.predict import predict
from glioseg.cli.project import preset, prune_runs, relocate, report
from glioseg.cli.registry import lineage, reproduce, rollback
from glioseg.cli.serve import serve
from glioseg.cli.tune_worker import tune_worker
from glioseg.core.extras import missing_package

NEEDED = {
    "forecast": "train",
    "lineage": "track",
    "prune-runs": "track",
    "report": "track",
    "reproduce": "train",
    "rollback": "track",
    "serve": "serve",
    "tune-worker": "train",
}
"""The extra that a command needs; the others need none."""


class Commands(TyperGroup):
    """The subcommands; Ctrl-C and a package that is not installed end each of them with one line."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            command = ctx.invoked_subcommand or ""
            if was_interrupted(error):
                print_interrupted(f"glioseg {command}", error)
                raise InterruptedExit(INTERRUPTED_EXIT_CODE) from None
            if message := missing_package(error, NEEDED.get(command)):
                sys.exit(f"glioseg {command}: {message}")
            raise


app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glioseg {version('glioseg')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]


@app.callback()
def main(version: Version = False) -> None:
    """glioseg: from brain MRI to a registered, served tumour-segmentation model."""


app.command()(preset)
app.command()(predict)
app.command()(evaluate)
app.command()(serve)
app.command()(tune_worker)
app.command()(report)
app.command()(forecast)
app.command()(lineage)
app.command()(reproduce)
app.command()(rollback)
app.command()(prune_runs)
app.command()(relocate)
