"""Work over cases on a Dask cluster: one task a case, done again elsewhere if its worker is lost."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distributed import Client, KilledWorker, as_completed
from distributed.client import FutureCancelledError

from glioseg.cluster.errors import ClusterError
from glioseg.cluster.shared import Shared, inside, share_folder
from glioseg.params.compute import SLURM
from glioseg.progress import track

if TYPE_CHECKING:
    from glioseg.cluster import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

WAIT_S = 30
RETRIES = 2
"""Of an item that raises: storage over a network has bad moments."""
GPU = {"GPU": 1}


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """The work as a worker does it: with the same code, and in the project's folder."""

    work: Callable[[Item], Result]
    shared: Shared

    def __call__(self, item: Item) -> Result:
        """Do one item."""
        self.shared.check()  # each time: a worker may have joined since the start
        with inside(self.shared.folder):
            return self.work(item)


def map_far(
    work: Callable[[Item], Result], items: Sequence[Item], *, title: str, cluster: "Cluster", gpu: bool
) -> list[Result]:
    """Apply a function to every item; see `Cluster.map`."""
    with _connected(cluster, title=title) as client, share_folder() as shared:
        _check_workers(client, shared)
        print(f"{title}: {len(items)} cases on {cluster.kind}, dashboard at {client.dashboard_link}", flush=True)
        futures = client.map(
            Task(work, shared),
            items,
            key=title,
            pure=False,
            retries=RETRIES,
            resources=GPU if gpu and _has_gpus(client) else None,
        )
        return _gather(futures, title=title)


def _gather(futures: list[Any], *, title: str) -> list[Any]:
    places = {future: place for place, future in enumerate(futures)}
    results: list[Any] = [None] * len(futures)
    try:
        for future, result in track(
            as_completed(futures, with_results=True), title=title, total=len(futures)
        ):
            results[places[future]] = result
    except KilledWorker as error:
        raise ClusterError(f"{title}: workers died one after the other; is their memory full? {error}") from None
    except FutureCancelledError as error:
        raise ClusterError(f"{title}: the connection to the scheduler was lost: {error}") from None
    return results
