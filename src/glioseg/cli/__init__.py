"""The `glioseg` command and its subcommands."""

import sys
from typing import Any

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


class Commands(TyperGroup):
    """The subcommands; Ctrl-C ends each of them with one line."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if not was_interrupted(error):
                raise
            print_interrupted(f"glioseg {ctx.invoked_subcommand}", error)
            raise InterruptedExit(INTERRUPTED_EXIT_CODE) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
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
