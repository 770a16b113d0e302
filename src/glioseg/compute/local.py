"""Work over cases in processes or threads of this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.compute.errors import ClusterError
from glioseg.core.cpus import cores
from glioseg.core.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_here(
    work: Callable[[Item], Result], items: Sequence[Item], *, title: str, threads: bool, workers: int | None
) -> Iterator[tuple[int, Result]]:
    """Apply a function to every item in a pool; see `Cluster.each`.

    After Ctrl-C, or if the caller stops iterating, items under way in processes are interrupted; threads end
    theirs.

    Args:
        work: called once an item.
        items: one entry a case.
        title: what the progress line says.
        threads: whether in threads of this process, rather than in processes.
        workers: how many; None: one a CPU core that this process may use.
    """
    count = min(workers or cores(), len(items))
    with pool(count, threads=threads) as crew, killed_workers_told(title):
        try:
            places = {crew.submit(work, item): place for place, item in enumerate(items)}
            for done in track(as_completed(places), title=title, total=len(places)):
                yield places[done], done.result()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | GeneratorExit) and isinstance(crew, Processes):
                crew.interrupt()
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
    return (ThreadPoolExecutor if threads else Processes)(count, initializer=initializer)


class Processes(ProcessPoolExecutor):
    """Worker processes that Ctrl-C does not reach, but `interrupt`: so none of them writes a traceback."""

    def __init__(self, count: int, initializer: Callable[[], None]) -> None:
        # "spawn" gives the same clean workers everywhere; "fork" breaks once threads run.
        spawn = multiprocessing.get_context("spawn")
        super().__init__(count, spawn, initializer=_begin, initargs=(initializer,))

    def submit(self, work: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        """Submit work. This may start a process, which inherits the signals that are blocked meanwhile."""
        with _interrupts_later():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return super().submit(partial(_interruptible, work), *args, **kwargs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def interrupt(self) -> None:
        """Interrupt the work under way, which may clear up before its process ends."""
        for process in list(self._processes.values()):  # from Python 3.14 on: `terminate_workers`
            process.terminate()


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Raise KeyboardInterrupt after this block: within it, a process would be left half started."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came and callable(handler):
            handler(*came[0])


class _InterruptedError(SystemExit):
    """Raised in a worker process that is to end."""


def _interruptible(work: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    try:
        return work(*args, **kwargs)
    except _InterruptedError:
        os._exit(1)  # the executor would go on with the next item


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # the executor sends another one, which must not stop the clearing up
    raise _InterruptedError(1)


def _begin(initializer: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, _raise_interrupted)
    threadpool_limits(1, user_api="blas")  # a process a core: more threads would fight for it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initializer()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
