"""Processing of cases in processes or threads of this machine."""

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

from glioseg.core.cpus import usable_cores
from glioseg.core.errors import ClusterError
from glioseg.core.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_local(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    title: str,
    threads: bool,
    workers: int | None,
) -> Iterator[tuple[int, Result]]:
    """Apply a function to all items in a pool; see `Cluster.map_unordered`.

    After Ctrl-C, or if the caller stops iterating, running items are interrupted in processes and completed
    in threads.

    Args:
        function: called once for each item.
        items: one for each case.
        title: name of the work in the progress line.
        threads: whether to use threads of this process instead of new processes.
        workers: number of workers; None means one for each CPU core that this process may use.
    """
    count = min(workers or usable_cores(), len(items))
    with open_pool(count, threads=threads) as pool, explain_killed_workers(title):
        try:
            indices = {pool.submit(function, item): index for index, item in enumerate(items)}
            for done in track(as_completed(indices), title=title, total=len(indices)):
                yield indices[done], done.result()
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | GeneratorExit)
            if stopped and isinstance(pool, InterruptibleProcessPool):
                pool.interrupt()
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def explain_killed_workers(title: str) -> Iterator[None]:
    """Turn the error of a pool whose worker process was killed into one line.

    Raises:
        ClusterError: a worker process was killed.
    """
    try:
        yield
    except BrokenProcessPool:
        raise ClusterError(f"{title}: a worker process was killed; is the memory full?") from None


def _do_nothing() -> None:
    """Default initializer of a worker."""


def open_pool(count: int, *, threads: bool, initializer: Callable[[], None] = _do_nothing) -> Executor:
    """A pool of threads, or of processes that end with this one; each worker first calls `initializer`."""
    return (ThreadPoolExecutor if threads else InterruptibleProcessPool)(count, initializer=initializer)


class InterruptibleProcessPool(ProcessPoolExecutor):
    """Worker processes that ignore Ctrl-C and stop only by `interrupt`: they print no traceback."""

    def __init__(self, count: int, initializer: Callable[[], None]) -> None:
        # "spawn" starts clean workers on each platform; "fork" is unsafe in a process with threads.
        spawn = multiprocessing.get_context("spawn")
        super().__init__(count, spawn, initializer=_start_worker, initargs=(initializer,))

    def submit(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        """Submit a call. SIGINT is blocked meanwhile, because processes started by it inherit the mask."""
        with _interrupts_deferred():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return super().submit(partial(_interruptible, function), *args, **kwargs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def interrupt(self) -> None:
        """Interrupt running items, which may clean up before their process ends."""
        for process in list(self._processes.values()):  # from Python 3.14 on: `terminate_workers`
            process.terminate()


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Defer KeyboardInterrupt to the end of this block: it would leave a process half started."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda *signalled: received.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received and callable(handler):
            handler(*received[0])


class _InterruptedError(SystemExit):
    """Raised in a worker process by `InterruptibleProcessPool.interrupt`."""


def _interruptible(function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    try:
        return function(*args, **kwargs)
    except _InterruptedError:
        os._exit(1)  # the executor would continue with the next item


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    # The executor sends another SIGTERM, which must not stop the clean-up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _InterruptedError(1)


def _start_worker(initializer: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, _raise_interrupted)
    threadpool_limits(1, user_api="blas")  # one process for each core: more threads would compete for it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initializer()


def _end_with_parent() -> None:
    """End this process with its parent: a worker would wait forever for items of a killed parent."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
