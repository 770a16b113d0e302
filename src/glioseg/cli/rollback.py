"""`glioseg rollback`: let another version serve again."""

from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.mlops.tracking.storage import Lab
from glioseg.params import load_params

To = Annotated[int | None, typer.Option(min=1, help="The version to go to, instead of `previous`.")]


def rollback(to: To = None) -> None:
    """Make the version champion that was champion before; the one it replaces becomes `previous`.

    A version that was taken back comes again by hand alone: `glioseg rollback --to N`, never through the
    gate. `glioseg serve` follows by itself; only MLflow's own server must be started again.
    """
    with one_line("glioseg rollback"):
        name, lab = load_params().register_.name, Lab.here()
        from glioseg.mlops.registry.versions import Versions
        from glioseg.mlops.tracking.mlflow_runs import (
            connect,  # MLflow loads only once the settings are sound
        )

        with lab.alone("registry", waiting="rollback: another process is registering a version"):
            print(Versions(connect(lab), name).roll_back(None if to is None else str(to)))
