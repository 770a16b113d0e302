"""The options --cluster and --workers, which several commands have."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from glioseg.compute import CLUSTER, Cluster
from glioseg.core.settings_file import wrong_value
from glioseg.params import load_params
from glioseg.params.compute import PROCESSES, SLURM, Compute

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        envvar=CLUSTER,
        help="A Dask scheduler whose workers do it, e.g. tcp://host:8786; or slurm, as params.yaml says.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many processes of this machine do it.")]


def asked_cluster(address: str | None, workers: int | None) -> Cluster | None:
    """The cluster that a command was asked to use; None: it does its work by itself.

    Args:
        address: of a scheduler, or another word of `compute.cluster`.
        workers: how many processes, or workers of Slurm's.

    Raises:
        ParamsError: it is neither, or there is no params.yaml where Slurm's options would stand.
    """
    if not address and not workers:
        return None
    given = load_params().compute.model_dump() if address == SLURM else {}
    asked = given | {"cluster": address or PROCESSES} | ({"workers": workers} if workers else {})
    try:
        compute = Compute.model_validate(asked)
    except ValidationError as error:
        raise wrong_value(Path("--cluster"), error) from None
    return Cluster(compute.cluster, compute.workers, compute.slurm)
