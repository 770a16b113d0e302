"""Training on several hosts at once, each with an equal share of every batch, on the JAX backend.

Every host runs the same training in the same project folder; `keras.distribution` keeps their weights equal.
Keras' own environment variables name the hosts.
"""

import hashlib
import os
from typing import Any

import numpy as np

from glioseg.params.sections import Train
from glioseg.params.settings_file import ParamsError

LEADER_VARIABLE, HOST_COUNT_VARIABLE, HOST_NUMBER_VARIABLE = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
"""Variables with address and port of the first host, the number of hosts, and this host's number (from 0)."""

HEARTBEAT_TIMEOUT_S = 10
"""Timeout of the heartbeat of a host; the other hosts then end."""


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

    if keras.backend.backend() != "jax":
        raise ParamsError(
            f"{LEADER_VARIABLE}: expected KERAS_BACKEND=jax with it, got {keras.backend.backend()}"
        )
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
