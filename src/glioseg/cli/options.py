"""Options that several commands share: the cluster and its workers, and paths of the user."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from glioseg.compute import CLUSTER_VARIABLE, Cluster
from glioseg.core.files import expand_user
from glioseg.params import load_params
from glioseg.params.sections import PROCESSES, SLURM, Compute
from glioseg.params.settings_file import params_error

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        envvar=CLUSTER_VARIABLE,
        help="Address of a Dask scheduler, e.g. tcp://host:8786, or slurm (options in params.yaml).",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of worker processes.")]


def user_path(path: Path | None) -> Path | None:
    """Callback of an option that is a path: `~`, which a shell leaves in `--option=~/x`, is the home."""
    return path and expand_user(path)


def cluster_from_options(address: str | None, workers: int | None) -> Cluster | None:
    """The cluster that --cluster and --workers name; None: the command does its work in its own process.

    Args:
        address: address of a scheduler, or another value of `compute.cluster`.
        workers: number of local processes or Slurm workers.

    Raises:
        ParamsError: the address is not valid, or params.yaml, which holds the options for Slurm, is missing.
    """
    if not address and not workers:
        return None
    given = load_params().compute.model_dump() if address == SLURM else {}
    settings = given | {"cluster": address or PROCESSES} | ({"workers": workers} if workers else {})
    try:
        compute = Compute.model_validate(settings)
    except ValidationError as error:
        raise params_error(Path("--cluster"), error) from None
    return Cluster(compute.cluster, compute.workers, compute.slurm)
