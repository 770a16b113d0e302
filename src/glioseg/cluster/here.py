"""Work over cases in processes or threads of this machine."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.cluster.errors import ClusterError
from glioseg.cores import cores
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
    with pool(count, threads=threads) as crew, killed_workers_told(title):
        places = {crew.submit(work, item): place for place, item in enumerate(items)}
        try:
            for done in track(as_completed(places), title=title, total=len(places)):
                yield places[done], done.result()
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


@contextmanager
def killed_workers_told(title: str) -> Iterator[None]:
    """Say of work in processes that it failed because one of them was killed.

    Raises:
        ClusterError: one was.
    """
    try:
        yield
    except BrokenProcessPool:
        raise ClusterError(f"{title}: a worker process was killed; is the memory full?") from None


def _nothing() -> None:
    """What a worker begins with where nothing else is asked for."""


def pool(count: int, *, threads: bool, initializer: Callable[[], None] = _nothing) -> Executor:
    """So many threads, or processes that end with this one; each begins by calling `initializer`."""
    if threads:
        return ThreadPoolExecutor(count, initializer=initializer)
    # "spawn" gives the same clean workers everywhere; "fork" breaks once threads run.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, spawn, initializer=_begin, initargs=(initializer,))


def _begin(initializer: Callable[[], None]) -> None:
    threadpool_limits(1, user_api="blas")  # a process a core: more threads would fight for it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initializer()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
