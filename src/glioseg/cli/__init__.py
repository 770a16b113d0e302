"""The `glioseg` command; each of its words is a module here."""

import sys
from typing import Any

from glioseg.core.entry import INTERRUPTED, Stopped, interrupted, require_unix, say_stopped

if sys.platform == "win32":  # what follows imports what Windows lacks
    require_unix()

import typer
from typer.core import TyperGroup

from glioseg.cli.lineage import lineage
from glioseg.cli.predict import predict
from glioseg.cli.preset import preset
from glioseg.cli.prune_runs import prune_runs
from glioseg.cli.relocate import relocate
from glioseg.cli.report import report
from glioseg.cli.reproduce import reproduce
from glioseg.cli.rollback import rollback
from glioseg.cli.serve import serve
from glioseg.cli.tune_worker import tune_worker


class Commands(TyperGroup):
    """The commands; each ends by Ctrl-C with one line."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if not interrupted(error):
                raise
            say_stopped(f"glioseg {ctx.invoked_subcommand}", error)
            raise Stopped(INTERRUPTED) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """glioseg: from brain MRI to a registered, served tumour-segmentation model."""


app.command()(preset)
app.command()(predict)
app.command()(serve)
app.command()(tune_worker)
app.command()(report)
app.command()(lineage)
app.command()(reproduce)
app.command()(rollback)
app.command()(prune_runs)
app.command()(relocate)
