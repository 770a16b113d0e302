"""Dask workers in Slurm jobs."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from tempfile import NamedTemporaryFile
from typing import Any

from distributed import Client

from glioseg.core.errors import ClusterError


@contextmanager
def start_slurm(options: Mapping[str, Any], *, workers: int) -> Iterator[Client]:
    """A client of workers in Slurm jobs; the scheduler runs in this process.

    Args:
        options: options of dask-jobqueue's SLURMCluster, e.g. queue, cores, memory, walltime.
        workers: number of workers.

    Raises:
        ClusterError: Slurm is not installed, or SLURMCluster or Slurm rejects the options.
    """
    with Client(_request_workers(json.dumps(options), workers), set_as_default=False) as client:
        client.wait_for_workers(1)
        yield client


@cache
def _request_workers(options: str, workers: int) -> Any:
    """The workers of this process. They run until it ends, because new ones may wait long in the queue."""
    if not shutil.which("sbatch"):
        raise ClusterError("compute.cluster: slurm expects the command `sbatch` on this machine, got none")
    cluster = slurm_cluster(json.loads(options))
    _test_job_script(cluster.job_script())
    cluster.scale(workers)
    print(f"requested {workers} workers from Slurm: waiting for the first", flush=True)
    return cluster


def _test_job_script(script: str) -> None:
    """Let Slurm check a job without running it: Dask would wait forever for a job that is rejected later.

    Raises:
        ClusterError: Slurm rejects the job; the message is Slurm's.
    """
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        command = ["sbatch", "--test-only", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"compute.slurm: {' '.join(done.stderr.split()) or 'sbatch rejected the job'}")


def slurm_cluster(options: Mapping[str, Any]) -> Any:
    """A SLURMCluster without workers.

    Raises:
        ClusterError: SLURMCluster rejects the options.
    """
    from dask_jobqueue import SLURMCluster

    try:
        return SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"compute.slurm: {' '.join(str(error).split())}") from None
