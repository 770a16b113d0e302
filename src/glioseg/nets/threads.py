"""How many threads networks run in, in a worker that shares its machine with others."""

import os
from threading import Lock

from glioseg.cluster.worker import threads_here

ONE_AT_A_TIME = Lock()
"""For networks in a worker of many threads: two at once would need the memory twice, and share their seed.
The other threads read and write meanwhile."""


def keep_to(threads: int | None = None) -> None:
    """Let TensorFlow use so many threads in this process, which has not run a network yet.

    Args:
        threads: None: those that a Dask worker was given; elsewhere one a core, TensorFlow's own choice.
    """
    count = threads or threads_here()
    if count:
        os.environ |= limits(count)


def limits(threads: int) -> dict[str, str]:
    """What TensorFlow reads when it begins: environment variables."""
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads))
