"""A client of a Dask scheduler that is there, or of one that gets its workers from Slurm."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from tempfile import NamedTemporaryFile
from typing import Any

from distributed import Client
from distributed.comm import CommClosedError

from glioseg.compute.errors import ClusterError

WAIT_S = 30
CLOSE_S = 5


@contextmanager
def connect_to(address: str) -> Iterator[Client]:
    """Connect to a scheduler that has workers.

    Args:
        address: e.g. tcp://host:8786.

    Raises:
        ClusterError: nobody answers there, or there is no worker.
    """
    try:
        client = Client(address, timeout=WAIT_S, set_as_default=False)
    except OSError:
        raise ClusterError(f"{address}: expected a Dask scheduler, none answered in {WAIT_S} s") from None
    with _closed(client):
        try:
            client.wait_for_workers(1, timeout=WAIT_S)
        except TimeoutError:
            raise ClusterError(
                f"{address}: expected workers, none came in {WAIT_S} s; start some: dask worker {address}"
            ) from None
        yield client


@contextmanager
def _closed(client: Client) -> Iterator[None]:
    """Close a client at the end; a scheduler that is gone says nothing, and must not hide what went wrong.

    Raises:
        ClusterError: the connection broke in this block.
    """
    try:
        yield
    except CommClosedError as error:
        raise ClusterError(f"the connection to the scheduler was lost: {error}") from None
    finally:
        with suppress(OSError):
            client.close(timeout=CLOSE_S)


@contextmanager
def start_slurm(options: Mapping[str, Any], *, workers: int) -> Iterator[Client]:
    """Connect to workers that Slurm starts; the scheduler runs in this process.

    Args:
        options: of dask-jobqueue's SLURMCluster, e.g. queue, cores, memory, walltime.
        workers: how many.

    Raises:
        ClusterError: options that SLURMCluster or Slurm does not take, or no Slurm.
    """
    with Client(_workers(json.dumps(options), workers), set_as_default=False) as client:
        client.wait_for_workers(1)
        yield client


@cache
def _workers(options: str, workers: int) -> Any:
    """A process asks Slurm once, and keeps the workers until it ends: the queue may be long."""
    if not shutil.which("sbatch"):
        raise ClusterError("compute.cluster: slurm expects the command `sbatch` on this machine, got none")
    cluster = slurm_cluster(json.loads(options))
    _try(cluster.job_script())
    cluster.scale(workers)
    print(f"Slurm was asked for {workers} workers: waiting for the first", flush=True)
    return cluster


def _try(script: str) -> None:
    """Let Slurm look at a job without taking it: a job refused later would be waited for without an end.

    Raises:
        ClusterError: Slurm refuses it, with what it says.
    """
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        words = ["sbatch", "--test-only", file.name]
        tried = subprocess.run(words, capture_output=True, text=True, check=False)
    if tried.returncode:
        raise ClusterError(f"compute.slurm: {' '.join(tried.stderr.split()) or 'sbatch refused the job'}")


def slurm_cluster(options: Mapping[str, Any]) -> Any:
    """A SLURMCluster that has not asked for workers yet."""
    from dask_jobqueue import SLURMCluster

    try:
        return SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"compute.slurm: {' '.join(str(error).split())}") from None
