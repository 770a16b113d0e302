"""The `glioseg` command; each of its words is a module here."""

import typer

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

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


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
