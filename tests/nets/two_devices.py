"""Trains on one and on two logical CPU devices and prints what came out; run by test_devices.py."""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from glioseg.nets import devices
from glioseg.nets.training import fit
from tests.toys import make_network, make_train, write_toy


def train(home: Path, names: list[str], batch_size: int) -> dict[str, object]:
    devices.replicas = lambda: names  # logical CPUs stand for GPUs
    toys = [write_toy(home, number) for number in range(4)]
    fitted = fit(
        network=make_network(dropout=0.0),
        train=make_train(batch_size=batch_size, epochs=2, steps_per_epoch=2),
        cases=toys[:3],
        validation=toys[3:],
        state=home / f"state{len(names)}",
        on_epoch=lambda epoch, logs: None,
    )
    weights = float(sum(np.abs(array).sum() for array in fitted.model.get_weights()))
    return {key: float(value) for key, value in fitted.history[-1].items()} | {"weights": weights}


def main(home: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    seen: dict[str, object] = {
        "1": train(home, [], 4),
        "2": train(home, ["CPU:0", "CPU:1"], 4),
    }
    try:
        train(home, ["CPU:0", "CPU:1"], 3)
    except ValueError as error:
        seen["odd"] = str(error)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
