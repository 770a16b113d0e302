"""How networks share a machine: one forward pass at a time in a process, training in a worker's threads."""

from threading import Lock

from glioseg.compute.dask_worker import threads_here
from glioseg.core.tensorflow_startup import THREADS

ONE_AT_A_TIME = Lock()
"""For networks in a worker of many threads: two at once would need the memory twice."""


def training_threads() -> dict[str, str]:
    """Environment variables of a process that trains beside a Dask worker: TensorFlow keeps to its threads.

    Elsewhere there are none, and TensorFlow uses the threads that this package sets.
    """
    count = threads_here()
    return dict.fromkeys(THREADS, str(count)) if count else {}
