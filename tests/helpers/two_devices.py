"""Trains on one and on two logical CPU devices, saves each state and network; run by test_distributed.py."""

import sys
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from glioseg.models.training import distributed
from glioseg.models.training.fit import fit
from tests.helpers.toys import make_network, make_train, write_toy

ONE, TWO = ["CPU:0"], ["CPU:0", "CPU:1"]  # logical CPUs in place of GPUs
SETTINGS = {"batch_size": 4, "epochs": 2, "steps_per_epoch": 2}
ALL = {"outputs": ("segmentation", "grade", "survival"), "batch_dice": True}


def train(
    state: Path, names: list[str], *, dropout: float = 0.0, stop_in: int | None = None, **changes: object
) -> None:
    """Train for two epochs; two of the four training cases have an unknown outcome."""

    def on_epoch(epoch: int, logs: dict[str, float]) -> None:
        if epoch == stop_in:
            raise KeyboardInterrupt

    distributed.available_devices = lambda: names
    toys = [write_toy(state.parent / "toys", number) for number in range(5)]
    toys[0], toys[1] = replace(toys[0], grade=None), replace(toys[1], survival_days=None)
    fitted = fit(
        network=make_network(dropout=dropout),
        train=make_train(**SETTINGS, **changes),
        cases=toys[:4],
        validation=toys[4:],
        state=state,
        on_epoch=on_epoch,
    )
    fitted.model.save(state.parent / f"{state.name}.keras")


def main(home: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    train(home / "one", ONE, devices=1, **ALL)
    train(home / "two", TWO, devices=2, **ALL)
    train(home / "dropping", TWO, dropout=0.2)
    try:
        train(home / "stopped", TWO, dropout=0.2, stop_in=1)
    except KeyboardInterrupt:
        train(home / "stopped", TWO, dropout=0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
