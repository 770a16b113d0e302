"""Processing of cases on a Dask cluster: one task for each case, repeated elsewhere if its worker is lost.

The cluster is a scheduler that runs already, or workers in Slurm jobs.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import islice
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm import CommClosedError

from glioseg.compute.dask_worker import Task, Workspace, code_version, publish_workspace
from glioseg.core.errors import ClusterError
from glioseg.core.progress import track
from glioseg.params.sections import SLURM

if TYPE_CHECKING:
    from glioseg.compute import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 2
"""Retries of an item that raises: network storage fails now and then."""
BATCH = 500
"""Tasks in a batch. The scheduler holds two batches: more than a cluster has threads, to keep all busy."""
GPU = {"GPU": 1}
WAIT_S = 30
"""Timeout for a scheduler to respond, and for a first worker to join it."""
CLOSE_S = 5


def map_dask(
    function: Callable[[Item], Result], items: Sequence[Item], *, title: str, cluster: "Cluster", gpu: bool
) -> Iterator[tuple[int, Result]]:
    """Apply a function to all items; see `Cluster.map_unordered`."""
    with _connect(cluster) as (client, workspace):
        submit = partial(
            client.map,
            Task(function, workspace),
            key=title.replace(" ", "-"),
            pure=False,
            retries=RETRIES,
            resources=GPU if gpu and _has_gpus(client) else None,
        )
        yield from _results(client, submit, items, title=title)


@contextmanager
def _connect(cluster: "Cluster") -> Iterator[tuple[Client, Workspace]]:
    """A client of the cluster and the workspace of its workers; unfinished tasks are cancelled at the end."""
    slurm = start_slurm(cluster.slurm or {}, workers=cluster.workers or 1) if cluster.kind == SLURM else None
    with slurm or connect_to(cluster.kind) as client, publish_workspace() as workspace:
        _check_machines(client, workspace)
        _print_dashboard(client.dashboard_link)
        yield client, workspace


@contextmanager
def connect_to(address: str) -> Iterator[Client]:
    """A client of a scheduler that has workers.

    Args:
        address: address of the scheduler, e.g. tcp://host:8786.

    Raises:
        ClusterError: no scheduler responds at the address, or it has no worker.
    """
    try:
        client = Client(address, timeout=WAIT_S, set_as_default=False)
    except OSError:
        raise ClusterError(f"{address}: expected a Dask scheduler, none answered in {WAIT_S} s") from None
    with _closing(client):
        try:
            client.wait_for_workers(1, timeout=WAIT_S)
        except TimeoutError:
            raise ClusterError(
                f"{address}: expected workers, none came in {WAIT_S} s; start some: dask worker {address}"
            ) from None
        yield client


@contextmanager
def _closing(client: Client) -> Iterator[None]:
    """Close a client at the end; an error of closing, e.g. after the scheduler died, hides no earlier error.

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


def count_workers(cluster: "Cluster") -> int:
    """The number of current workers of a scheduler, or of workers to request from Slurm."""
    if cluster.kind == SLURM:
        return cluster.workers or 1
    with connect_to(cluster.kind) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


def _check_machines(client: Client, workspace: Workspace) -> None:
    """Check the workspace on all current workers, and glioseg on the scheduler, which unpickles tasks.

    Raises:
        ClusterError: one line that names the machine that failed the check.
    """
    try:
        client.run_on_scheduler(code_version)
    except ImportError as error:
        raise ClusterError(f"scheduler: expected glioseg installed there too, got: {error}") from None
    for worker, result in client.run(workspace.check, on_error="return").items():
        if isinstance(result, ClusterError):
            raise result
        lost = isinstance(result, OSError)  # the worker left after the scheduler listed it
        if result is not None and not lost:
            raise ClusterError(f"worker {worker}: expected glioseg installed there, got: {result}")


@cache
def _print_dashboard(address: str) -> None:
    print(f"Dask's dashboard is at {address}", flush=True)


def _has_gpus(client: Client) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any("GPU" in worker["resources"] for worker in workers)


def _results(
    client: Client, submit: Callable[[list[Item]], list[Future]], items: Sequence[Item], *, title: str
) -> Iterator[tuple[int, Any]]:
    """Submit items in batches and release finished ones: a scheduler cannot hold 100,000 tasks at once."""
    indices: dict[Future, int] = {}
    remaining = iter(enumerate(items))
    completed = as_completed(loop=client.loop, with_results=True)

    def submit_batch() -> None:
        if batch := list(islice(remaining, BATCH)):
            futures = submit([item for _, item in batch])
            indices.update(zip(futures, (index for index, _ in batch), strict=True))
            completed.update(futures)

    submit_batch()
    submit_batch()
    try:
        for future, result in track(completed, title=title, total=len(items)):
            if future.cancelled():
                raise ClusterError(f"{title}: the scheduler was lost, or the tasks were cancelled")
            yield indices.pop(future), result
            if len(indices) == BATCH:
                submit_batch()
    except KilledWorker as error:
        raise ClusterError(f"{title}: a case ended every worker that tried it: {error}") from None
