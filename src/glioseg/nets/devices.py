"""Training on all GPUs of a machine at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np


def replicas() -> list[str]:
    """The devices to train on together; fewer than two mean that there is nothing to spread."""
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def spread(batch_size: int) -> AbstractContextManager[object]:
    """In this context networks are built on every GPU; each then takes its share of a batch.

    TensorFlow's MirroredStrategy: gradients are averaged over the devices, so that a step is that of
    one device with the whole batch.

    Raises:
        ValueError: the batch does not divide evenly.
    """
    devices = replicas()
    if len(devices) < 2:
        return nullcontext()
    if batch_size % len(devices):
        raise ValueError(
            f"train.batch_size: expected a multiple of the {len(devices)} GPUs, got {batch_size}"
        )
    import tensorflow as tf

    scope: AbstractContextManager[object] = tf.distribute.MirroredStrategy(devices).scope()
    return scope


def feed(examples: Callable[[], Iterator[Any]]) -> Any:
    """What `keras.Model.fit` reads: the examples, or for several devices a dataset that shares them out.

    Before it trains on several devices, Keras takes a batch to look at and then asks for an iterator
    anew. A generator would have moved on by then, a dataset begins again.
    """
    if len(replicas()) < 2:
        return examples()
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec(np.shape(array), np.asarray(array).dtype), next(examples())
    )
    return tf.data.Dataset.from_generator(examples, output_signature=signature)
