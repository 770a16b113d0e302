"""Trains on one and on two logical CPU devices and leaves each state; run by test_devices.py."""

import sys
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from glioseg.nets import devices
from glioseg.nets.training import fit
from tests.toys import make_network, make_train, write_toy

ONE, TWO = ["CPU:0"], ["CPU:0", "CPU:1"]  # logical CPUs stand for GPUs
SEGMENTATION, ALL = ("segmentation",), ("segmentation", "grade", "survival")


def train(
    state: Path,
    names: list[str],
    outputs: tuple[str, ...] = SEGMENTATION,
    *,
    stop_in: int | None = None,
) -> None:
    """Train for two epochs; two of the four training cases lack an outcome."""

    def on_epoch(epoch: int, logs: dict[str, float]) -> None:
        if epoch == stop_in:
            raise KeyboardInterrupt

    devices.replicas = lambda: names
    toys = [write_toy(state.parent / "toys", number) for number in range(5)]
    toys[0], toys[1] = replace(toys[0], grade=None), replace(toys[1], survival_days=None)
    fit(
        network=make_network(dropout=0.0),
        train=make_train(outputs=outputs, batch_size=4, epochs=2, steps_per_epoch=2),
        cases=toys[:4],
        validation=toys[4:],
        state=state,
        on_epoch=on_epoch,
    )


def main(home: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    train(home / "one", ONE)
    train(home / "two", TWO)
    train(home / "all on one", ONE, ALL)
    train(home / "all on two", TWO, ALL)
    try:
        train(home / "stopped", TWO, stop_in=1)
    except KeyboardInterrupt:
        train(home / "stopped", TWO)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
