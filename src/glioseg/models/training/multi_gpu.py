"""Training on several devices at once: each takes an equal share of every batch.

On TensorFlow the GPUs of this machine; on JAX the devices of all hosts that `hosts.join` has met.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from glioseg.core.cpus import cores
from glioseg.core.settings_file import ParamsError
from glioseg.models.training.multi_host import joined, own_share
from glioseg.params.sections import Devices, Train

if TYPE_CHECKING:
    from keras import KerasTensor


def backend() -> str:
    """Keras' backend. Asking loads it; TensorFlow takes 12 s."""
    import keras

    name: str = keras.backend.backend()
    return name


def replicas() -> list[str]:
    """The devices that could train together; fewer than two mean that there is nothing to spread."""
    if backend() == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_logical_devices("GPU")]
    if not joined():
        return []
    import keras

    names: list[str] = keras.distribution.list_devices()
    return names


def require_devices(devices: Devices) -> None:
    """Refuse to begin where there are not as many GPUs as are asked for; one may be a CPU.

    Raises:
        ParamsError: there are fewer.
    """
    if devices == "auto" or devices == 1:
        return
    if (found := len(replicas())) < devices:
        raise ParamsError(f"train.devices: expected {devices} GPUs that can train together, got {found}")


def shared_by(train: Train) -> list[str]:
    """The devices that take equal shares of a batch: so many as are asked for, or else as many as can.

    Raises:
        ParamsError: there are fewer than are asked for.
    """
    require_devices(train.devices)
    found = replicas()
    if train.devices != "auto":
        return found[: train.devices]
    return found[: max((n for n in range(1, len(found) + 1) if train.batch_size % n == 0), default=0)]


def used(train: Train) -> dict[str, str]:
    """What a training runs on, by name: how many devices, and which backend."""
    return {"devices": str(max(1, len(shared_by(train)))), "backend": backend()}


def computed_by() -> str:
    """The backend with its version, and the first device that it sees."""
    name = backend()
    if name == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        kind = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    else:
        import jax

        kind = jax.local_devices()[0].device_kind
    return f"{name} {version(name)}, {kind}"


def spare_cores() -> int:
    """How many of this machine's cores shall make patches: half of them, or nearly all beside a GPU."""
    from glioseg.models.networks.precision import gpu_capability

    return max(1, cores() - 1 if gpu_capability() else cores() // 2)


def spread(train: Train) -> AbstractContextManager[object]:
    """In this context networks are built on several devices; each then takes its share of a batch.

    TensorFlow's MirroredStrategy: gradients are averaged over the devices, so that a step is that of
    one device with the whole batch. On JAX `hosts.join` has done all there is to do.

    Raises:
        ParamsError: there are fewer devices than are asked for.
    """
    devices = shared_by(train)
    if len(devices) < 2:
        return nullcontext()
    share = train.batch_size // len(devices)
    print(
        f"training on {len(devices)} of {len(replicas())} devices, {share} of each batch on each", flush=True
    )
    return _strategy(tuple(devices)).scope() if backend() == "tensorflow" else nullcontext()


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """One for the process: TensorFlow counts collective operations anew in each, and takes two for one."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def feed(examples: Callable[[], Iterator[Any]], *, train: Train) -> Any:
    """What `keras.Model.fit` reads: the examples, or for several devices what shares them out.

    Before it trains on several devices, Keras on TensorFlow takes a batch to look at and then asks for
    an iterator anew. A generator would have moved on by then, a dataset begins again.
    """
    if len(shared_by(train)) < 2:
        return examples()
    if backend() != "tensorflow":
        return (own_share(example) for example in examples())
    import keras
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec(np.shape(array), np.asarray(array).dtype), next(examples())
    )
    return tf.data.Dataset.from_generator(examples, output_signature=signature)


def over_devices(sums: Sequence["KerasTensor"]) -> Sequence["KerasTensor"]:
    """Sums over a share of the batch as sums over the whole batch, within a step on several devices.

    Elsewhere they are that already, and stay as they are; on JAX always. Gradients pass through.
    """
    if backend() != "tensorflow":
        return sums
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync < 2:
        return sums
    total: Sequence[KerasTensor] = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return total
