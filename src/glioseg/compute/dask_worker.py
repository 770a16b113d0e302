"""What work can ask about the Dask worker that does it."""

import sys
from typing import Any


def threads_here() -> int | None:
    """The threads that this worker was given; None where there is no worker."""
    worker = _worker()
    return worker.state.nthreads if worker else None


def wanted() -> bool:
    """Whether somebody still waits for the task that asks: a client that is stopped gives its tasks up."""
    worker = _worker()
    if worker is None:
        return True
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state != "cancelled"


def _worker() -> Any:
    if "distributed" not in sys.modules:  # a worker has it, and to import it takes a second
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
