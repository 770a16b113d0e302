"""One way to map work over cases: worker processes on this machine."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from glioseg.progress import track


class ClusterError(OSError):
    """The machine failed the work, not the work itself."""


Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    work: Callable[[Item], Result], items: Sequence[Item], *, title: str, workers: int | None = None
) -> list[Result]:
    """Apply a picklable function to every item in parallel, with progress.

    Args:
        work: called once an item, in a worker process.
        items: one entry a case.
        title: what the progress line says.
        workers: processes; by default one a CPU core that this process may use.

    Returns:
        The results, in the order of the items.

    Raises:
        Whatever `work` raises first; items that have not started are dropped.
        ClusterError: a worker process was killed.
    """
    count = min(workers or len(os.sched_getaffinity(0)), max(len(items), 1))
    # "spawn" gives the same clean workers everywhere; "fork" breaks once threads run.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for done in track(as_completed(futures), title=title, total=len(futures)):
                done.result()
        except BrokenProcessPool:
            raise ClusterError(f"{title}: a worker process was killed; is the memory full?") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]
