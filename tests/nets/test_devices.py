"""Several devices do in a step what one device does with the whole batch.

In a process of its own: TensorFlow makes logical devices only before it is used.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tests.nets.two_devices", str(tmp_path_factory.mktemp("devices"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_train_as_one_does(seen: dict) -> None:
    one, two = seen["1"], seen["2"]
    for key in ("loss", "val_loss", "val_dice"):
        assert two[key] == pytest.approx(one[key], rel=1e-4), key
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-4)


def test_a_batch_that_two_devices_cannot_share_is_refused(seen: dict) -> None:
    assert seen["odd"] == "train.batch_size: expected a multiple of the 2 GPUs, got 3"
