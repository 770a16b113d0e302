"""How many threads networks run in, in a worker that shares its machine with others."""

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
    import keras  # TensorFlow takes 12 s

    count = threads or threads_here()
    if count is None or keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
