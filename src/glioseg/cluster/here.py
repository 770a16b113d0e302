"""Work over cases in processes or threads of this machine."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from glioseg.cluster.errors import ClusterError
from glioseg.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_here(
    work: Callable[[Item], Result], items: Sequence[Item], *, title: str, threads: bool, workers: int | None
) -> Iterator[tuple[int, Result]]:
    """Apply a function to every item in a pool; see `Cluster.each`.

    Args:
        work: called once an item.
        items: one entry a case.
        title: what the progress line says.
        threads: whether in threads of this process, rather than in processes.
        workers: how many; None: one a CPU core that this process may use.
    """
    count = min(workers or cores(), len(items))
    with _pool(count, threads=threads) as pool:
        places = {pool.submit(work, item): place for place, item in enumerate(items)}
        try:
            for done in track(as_completed(places), title=title, total=len(places)):
                yield places[done], done.result()
        except BrokenProcessPool:
            raise ClusterError(f"{title}: a worker process was killed; is the memory full?") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _pool(count: int, *, threads: bool) -> Executor:
    if threads:
        return ThreadPoolExecutor(count)
    # "spawn" gives the same clean workers everywhere; "fork" breaks once threads run.
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
