"""Training on several GPUs of a machine at once: each takes an equal share of every batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from glioseg.params.sections import Devices, Train

if TYPE_CHECKING:
    from keras import KerasTensor


def replicas() -> list[str]:
    """The devices that could train together; fewer than two mean that there is nothing to spread."""
    import keras  # loads TensorFlow, which takes 12 s

    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def require_devices(devices: Devices) -> None:
    """Refuse to begin where there are not as many GPUs as are asked for; one may be a CPU.

    Raises:
        ValueError: there are fewer.
    """
    if devices == "auto" or devices == 1:
        return
    if (found := len(replicas())) < devices:
        raise ValueError(f"train.devices: expected {devices} GPUs that TensorFlow can use here, got {found}")


def shared_by(train: Train) -> list[str]:
    """The GPUs that take equal shares of a batch: so many as are asked for, or else as many as can.

    Raises:
        ValueError: there are fewer than are asked for.
    """
    require_devices(train.devices)
    found = replicas()
    if train.devices != "auto":
        return found[: train.devices]
    return found[: max((n for n in range(1, len(found) + 1) if train.batch_size % n == 0), default=0)]


def spread(train: Train) -> AbstractContextManager[object]:
    """In this context networks are built on several GPUs; each then takes its share of a batch.

    TensorFlow's MirroredStrategy: gradients are averaged over the devices, so that a step is that of
    one device with the whole batch.

    Raises:
        ValueError: there are fewer GPUs than are asked for.
    """
    devices = shared_by(train)
    if len(devices) < 2:
        return nullcontext()
    share = train.batch_size // len(devices)
    print(f"training on {len(devices)} of {len(replicas())} GPUs, {share} of each batch on each", flush=True)
    scope: AbstractContextManager[object] = _strategy(tuple(devices)).scope()
    return scope


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """One for the process: TensorFlow counts collective operations anew in each, and takes two for one."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def feed(examples: Callable[[], Iterator[Any]], *, train: Train) -> Any:
    """What `keras.Model.fit` reads: the examples, or for several devices a dataset that shares them out.

    Before it trains on several devices, Keras takes a batch to look at and then asks for an iterator
    anew. A generator would have moved on by then, a dataset begins again.
    """
    if len(shared_by(train)) < 2:
        return examples()
    import keras
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec(np.shape(array), np.asarray(array).dtype), next(examples())
    )
    return tf.data.Dataset.from_generator(examples, output_signature=signature)


def over_devices(sums: Sequence["KerasTensor"]) -> Sequence["KerasTensor"]:
    """Sums over a share of the batch as sums over the whole batch, within a step on several devices.

    Elsewhere they are that already, and stay as they are. Gradients pass through.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return sums
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync < 2:
        return sums
    total: Sequence[KerasTensor] = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return total
