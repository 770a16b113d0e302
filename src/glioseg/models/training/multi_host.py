"""Training on several hosts at once, on the JAX backend: each takes an equal share of every batch.

Each host runs the same training; `keras.distribution` keeps their weights equal. Who takes part stands in
Keras' own variables of the environment. The project's folder is one that all hosts see.
"""

import hashlib
import os
from typing import Any

import numpy as np

from glioseg.core.settings_file import ParamsError
from glioseg.params.sections import Train

LEADER, COUNT, NUMBER = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
"""Address and port of the first host, how many hosts there are, and the number of this one, from 0."""

SILENCE_S = 10
"""A host that gives no sign of life for so long is taken for dead, and the others end."""


def leads() -> bool:
    """Whether this host writes what the training leaves: the first of several, or a single one."""
    return LEADER not in os.environ or os.environ.get(NUMBER) == "0"


def joined() -> bool:
    """Whether this process trains together with others."""
    if LEADER not in os.environ:
        return False
    import keras

    return keras.distribution.distribution() is not None


def join(train: Train) -> None:
    """Meet the other hosts, if the environment names a leader.

    If they are not all there within five minutes, JAX ends the process.

    Raises:
        ParamsError: variables that are missing or wrong, another backend, or devices that cannot share a
            batch equally.
    """
    if LEADER not in os.environ:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise ParamsError(f"{LEADER}: expected KERAS_BACKEND=jax beside it, got {keras.backend.backend()}")
    _meet(os.environ[LEADER], count=_number(COUNT), number=_number(NUMBER))
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    found = len(keras.distribution.list_devices())
    if train.devices not in ("auto", found) or train.batch_size % found:
        raise ParamsError(
            f"train: expected devices auto or {found}, as the hosts have together, and a batch_size that"
            f" they can share, got {train.devices} and {train.batch_size}"
        )


def _number(variable: str) -> int:
    value = os.environ.get(variable, "")
    if not value.isdecimal():
        raise ParamsError(f"{variable}: expected a number beside {LEADER}, got {value or 'nothing'}")
    return int(value)


def _meet(leader: str, *, count: int, number: int) -> None:
    import jax

    # Of CPUs; GPUs have NCCL.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # type: ignore[no-untyped-call]
    print(f"host {number} of {count}: waiting at {leader} for the others", flush=True)
    jax.distributed.initialize(leader, count, number, heartbeat_timeout_seconds=SILENCE_S)


def own_share(batch: Any) -> Any:
    """The rows of every array in a batch that are this host's."""
    import jax

    count, number = jax.process_count(), jax.process_index()
    return jax.tree.map(lambda array: np.split(np.asarray(array), count)[number], batch)


def require_same(*facts: object) -> None:
    """Refuse to train where hosts were given different things: they would wait for each other for ever.

    Raises:
        ParamsError: facts that are not those of the other hosts.
    """
    if not joined():
        return
    from jax.experimental.multihost_utils import process_allgather

    mine = np.frombuffer(hashlib.sha256(repr(facts).encode()).digest(), np.uint8)
    if len(np.unique(process_allgather(mine), axis=0)) > 1:
        raise ParamsError(
            "train: expected the same settings, code, cases and state on all hosts, got others:"
            " is the project's folder the same on all?"
        )
