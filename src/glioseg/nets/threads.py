"""How many threads networks run in, in a worker that shares its machine with others."""

import os
from threading import Lock

from glioseg.cluster.worker import threads_here

ONE_AT_A_TIME = Lock()
"""For networks in a worker of many threads: two at once would need the memory twice."""


def keep_to(threads: int | None = None) -> None:
    """Let TensorFlow use so many threads in this process, which has not run a network yet.

    Args:
        threads: None: those that a Dask worker was given; elsewhere one a core, TensorFlow's own choice.
    """
    os.environ |= limits(threads)


def limits(threads: int | None = None) -> dict[str, str]:
    """The same as environment variables, which TensorFlow reads when it begins."""
    count = threads or threads_here()
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys(names, str(count)) if count else {}
