"""Training on several devices at once, each with an equal share of every batch.

These are the GPUs of this machine on TensorFlow, the devices of all hosts on JAX. Every host runs the same
training in the same project folder; `keras.distribution` keeps their weights equal. Keras' own environment
variables name the hosts.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from glioseg.core.cpus import usable_cores
from glioseg.core.fingerprint import installed_version
from glioseg.models.networks.hardware import gpu_capability
from glioseg.params.sections import Devices, Train
from glioseg.params.settings_file import ParamsError

if TYPE_CHECKING:
    from keras import KerasTensor

LEADER_VARIABLE, HOST_COUNT_VARIABLE, HOST_NUMBER_VARIABLE = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
"""Variables with address and port of the first host, the number of hosts, and this host's number (from 0)."""

HEARTBEAT_TIMEOUT_S = 10
"""Timeout of the heartbeat of a host; the other hosts then end."""


def backend() -> str:
    """Name of Keras' backend. The first call imports the backend; TensorFlow takes 12 s."""
    import keras

    name: str = keras.backend.backend()
    return name


def available_devices() -> list[str]:
    """The devices that can train together; with fewer than two, training runs on a single device."""
    if backend() == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_logical_devices("GPU")]
    if not is_distributed():
        return []
    import keras

    names: list[str] = keras.distribution.list_devices()
    return names


def require_devices(devices: Devices) -> None:
    """Check that there are as many GPUs as `train.devices` requests; a single device may be a CPU.

    Raises:
        ParamsError: there are fewer.
    """
    if devices == "auto" or devices == 1:
        return
    if (found := len(available_devices())) < devices:
        raise ParamsError(f"train.devices: expected {devices} GPUs that can train together, got {found}")


def training_devices(train: Train) -> list[str]:
    """The devices that share a batch equally: `train.devices` of them, or as many as divide the batch.

    Raises:
        ParamsError: there are fewer than `train.devices`.
    """
    require_devices(train.devices)
    found = available_devices()
    if train.devices != "auto":
        return found[: train.devices]
    return found[: max((n for n in range(1, len(found) + 1) if train.batch_size % n == 0), default=0)]


def device_tags(train: Train) -> dict[str, str]:
    """The MLflow tags of a training's hardware: number of devices, and backend."""
    return {"devices": str(max(1, len(training_devices(train)))), "backend": backend()}


def describe_device() -> str:
    """The backend with its version, and the name of its first device."""
    name = backend()
    if name == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        device = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    else:
        import jax

        device = jax.local_devices()[0].device_kind
    return f"{name} {installed_version(name)}, {device}"


def patch_worker_count() -> int:
    """Number of workers that make patches: half of the cores, or all but one beside a GPU."""
    return max(1, usable_cores() - 1 if gpu_capability() else usable_cores() // 2)


def distribution_scope(train: Train) -> AbstractContextManager[object]:
    """A context in which a network is built on all devices of a training.

    On TensorFlow it is the scope of a MirroredStrategy, which averages gradients over the devices: a step
    equals that of one device with the whole batch. On JAX it does nothing, because
    `join_hosts` has set the distribution.

    Raises:
        ParamsError: there are fewer devices than `train.devices`.
    """
    devices = training_devices(train)
    if len(devices) < 2:
        return nullcontext()
    share = train.batch_size // len(devices)
    print(
        f"training on {len(devices)} of {len(available_devices())} devices, {share} of each batch on each",
        flush=True,
    )
    return _strategy(tuple(devices)).scope() if backend() == "tensorflow" else nullcontext()


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """The process's only strategy: each numbers its collective operations from 0, so two would conflict."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def fit_input(batches: Callable[[], Iterator[Any]], *, train: Train) -> Any:
    """The input of `keras.Model.fit`: batches, this host's share of them, or a dataset for several devices.

    With several devices, Keras on TensorFlow reads a batch to find its structure, and then iterates again
    from the start. A generator cannot repeat that batch, so a dataset is required.
    """
    if len(training_devices(train)) < 2:
        return batches()
    if backend() != "tensorflow":
        return (host_share(batch) for batch in batches())
    import keras
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec(np.shape(array), np.asarray(array).dtype), next(batches())
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def sum_over_devices(sums: Sequence["KerasTensor"]) -> Sequence["KerasTensor"]:
    """Sums over the whole batch, from sums over a device's share of it; gradients pass through.

    Outside a step on several devices, and on JAX, the given sums cover the whole batch and are returned.
    """
    if backend() != "tensorflow":
        return sums
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync < 2:
        return sums
    total: Sequence[KerasTensor] = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return total


def is_main_host() -> bool:
    """Whether this host writes the results of the training: the first host, or the only one."""
    return LEADER_VARIABLE not in os.environ or os.environ.get(HOST_NUMBER_VARIABLE) == "0"


def is_distributed() -> bool:
    """Whether this process trains together with other hosts."""
    if LEADER_VARIABLE not in os.environ:
        return False
    import keras

    return keras.distribution.distribution() is not None


def join_hosts(train: Train) -> None:
    """Connect to the other hosts, if the environment names a first host.

    JAX ends the process if a host is missing after five minutes.

    Raises:
        ParamsError: missing or invalid variables, another backend than JAX, or a number of devices that does
            not divide `train.batch_size`.
    """
    if LEADER_VARIABLE not in os.environ:
        return
    import keras

    if backend() != "jax":
        raise ParamsError(f"{LEADER_VARIABLE}: expected KERAS_BACKEND=jax with it, got {backend()}")
    _initialise_jax(
        os.environ[LEADER_VARIABLE], count=_number(HOST_COUNT_VARIABLE), number=_number(HOST_NUMBER_VARIABLE)
    )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    found = len(keras.distribution.list_devices())
    if train.devices not in ("auto", found) or train.batch_size % found:
        raise ParamsError(
            f"train: expected devices auto or {found}, the devices of all hosts, and a batch_size that is a"
            f" multiple of it, got {train.devices} and {train.batch_size}"
        )


def _number(variable: str) -> int:
    value = os.environ.get(variable, "")
    if not value.isdecimal():
        raise ParamsError(
            f"{variable}: expected a number, because {LEADER_VARIABLE} is set, got {value or 'nothing'}"
        )
    return int(value)


def _initialise_jax(leader: str, *, count: int, number: int) -> None:
    import jax

    # For CPUs; GPUs use NCCL.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # type: ignore[no-untyped-call]
    print(f"host {number} of {count}: waiting for the others at {leader}", flush=True)
    jax.distributed.initialize(leader, count, number, heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_S)


def host_share(batch: Any) -> Any:
    """The rows of every array in a batch that belong to this host."""
    import jax

    count, number = jax.process_count(), jax.process_index()
    return jax.tree.map(lambda array: np.split(np.asarray(array), count)[number], batch)


def require_same_on_all_hosts(*values: object) -> None:
    """Check that all hosts have equal values; with different set-ups they would deadlock.

    Raises:
        ParamsError: the values differ from those of other hosts.
    """
    if not is_distributed():
        return
    from jax.experimental.multihost_utils import process_allgather

    digest = np.frombuffer(hashlib.sha256(repr(values).encode()).digest(), np.uint8)
    if len(np.unique(process_allgather(digest), axis=0)) > 1:
        raise ParamsError(
            "train: expected the same settings, code, cases and state on all hosts, got different ones:"
            " check that all hosts use the same project folder"
        )
