"""Training on all GPUs of a machine at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np


def replicas() -> list[str]:
    """The devices that could train together; fewer than two mean that there is nothing to spread."""
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def shared_by(batch_size: int) -> list[str]:
    """As many of `replicas` as can take equal shares of a batch."""
    devices = replicas()
    return devices[: max((n for n in range(1, len(devices) + 1) if batch_size % n == 0), default=0)]


def spread(batch_size: int) -> AbstractContextManager[object]:
    """In this context networks are built on several GPUs; each then takes its share of a batch.

    TensorFlow's MirroredStrategy: gradients are averaged over the devices, so that a step is that of
    one device with the whole batch.
    """
    devices = shared_by(batch_size)
    if len(devices) < 2:
        return nullcontext()
    print(f"training on {len(devices)} GPUs", flush=True)
    scope: AbstractContextManager[object] = _strategy(tuple(devices)).scope()
    return scope


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """One for the process: TensorFlow counts collective operations anew in each, and takes two for one."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def feed(examples: Callable[[], Iterator[Any]], *, batch_size: int) -> Any:
    """What `keras.Model.fit` reads: the examples, or for several devices a dataset that shares them out.

    Before it trains on several devices, Keras takes a batch to look at and then asks for an iterator
    anew. A generator would have moved on by then, a dataset begins again.
    """
    if len(shared_by(batch_size)) < 2:
        return examples()
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec(np.shape(array), np.asarray(array).dtype), next(examples())
    )
    return tf.data.Dataset.from_generator(examples, output_signature=signature)
