"""Work over cases on a Dask cluster: one task a case, done again elsewhere if its worker is lost."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distributed import Client, Future, KilledWorker, as_completed

from glioseg.compute.dask_client import connect_to, start_slurm
from glioseg.compute.errors import ClusterError
from glioseg.compute.workspace import Shared, code_of_glioseg, inside, share_folder
from glioseg.core.progress import track
from glioseg.params.compute import SLURM

if TYPE_CHECKING:
    from glioseg.compute import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 2
"""Of an item that raises: storage over a network has bad moments."""
BATCH = 500
"""Of tasks; the scheduler knows two of them: more than a cluster has threads, so that none waits."""
GPU = {"GPU": 1}


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """The work as a worker does it: with the same code, and in the project's folder."""

    work: Callable[[Item], Result]
    shared: Shared

    def __call__(self, item: Item) -> Result:
        """Do one item."""
        self.shared.check()  # each time: the worker may have joined since the start
        with inside(self.shared.folder):
            return self.work(item)


def each_far(
    work: Callable[[Item], Result], items: Sequence[Item], *, title: str, cluster: "Cluster", gpu: bool
) -> Iterator[tuple[int, Result]]:
    """Apply a function to every item; see `Cluster.each`."""
    with connected(cluster) as (client, shared):
        submit = partial(
            client.map,
            Task(work, shared),
            key=title.replace(" ", "-"),
            pure=False,
            retries=RETRIES,
            resources=GPU if gpu and _has_gpus(client) else None,
        )
        yield from _results(client, submit, items, title=title)


@contextmanager
def connected(cluster: "Cluster") -> Iterator[tuple[Client, Shared]]:
    """A client of the cluster and what its workers share; what is not done at the end is dropped."""
    far = start_slurm(cluster.slurm or {}, workers=cluster.workers or 1) if cluster.kind == SLURM else None
    with far or connect_to(cluster.kind) as client, share_folder() as shared:
        check_machines(client, shared)
        _announce(client.dashboard_link)
        yield client, shared


def count_workers(cluster: "Cluster") -> int:
    """How many workers a scheduler has now, or Slurm is asked for."""
    if cluster.kind == SLURM:
        return cluster.workers or 1
    with connect_to(cluster.kind) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


def check_machines(client: Client, shared: Shared) -> None:
    """Hold every worker that is there to what it must share; a scheduler unpickles tasks, and needs glioseg.

    Raises:
        ClusterError: a line that names the machine at fault.
    """
    try:
        client.run_on_scheduler(code_of_glioseg)
    except ImportError as error:
        raise ClusterError(f"scheduler: expected glioseg installed there too, got: {error}") from None
    for worker, said in client.run(shared.check, on_error="return").items():
        if isinstance(said, ClusterError):
            raise said
        lost = isinstance(said, OSError)  # since the scheduler named it
        if said is not None and not lost:
            raise ClusterError(f"worker {worker}: expected glioseg installed there, got: {said}")


@cache
def _announce(dashboard: str) -> None:
    print(f"Dask's dashboard is at {dashboard}", flush=True)


def _has_gpus(client: Client) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any("GPU" in worker["resources"] for worker in workers)


def _results(
    client: Client, submit: Callable[[list[Item]], list[Future]], items: Sequence[Item], *, title: str
) -> Iterator[tuple[int, Any]]:
    """Submit batch after batch, and forget what is done: a scheduler does not hold 100,000 tasks at once."""
    places: dict[Future, int] = {}
    left = iter(enumerate(items))
    done = as_completed(loop=client.loop, with_results=True)

    def send() -> None:
        if batch := list(islice(left, BATCH)):
            futures = submit([item for _, item in batch])
            places.update(zip(futures, (place for place, _ in batch), strict=True))
            done.update(futures)

    send()
    send()
    try:
        for future, result in track(done, title=title, total=len(items)):
            if future.cancelled():
                raise ClusterError(f"{title}: the scheduler was lost, or told to drop the work")
            yield places.pop(future), result
            if len(places) == BATCH:
                send()
    except KilledWorker as error:
        raise ClusterError(f"{title}: a case ended every worker that tried it: {error}") from None
