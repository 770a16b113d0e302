"""Several devices do in a step what one device does with the whole batch.

In a process of its own: TensorFlow makes logical devices only before it is used.
"""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from glioseg.nets import checkpoint, devices

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of every training's state, and what was printed."""
    home = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-m", "tests.nets.two_devices", str(home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home, done.stdout


def compare(one: Path, other: Path) -> None:
    """All that a step changes is equal: logs, weights and Adam's moments.

    The moments alone tell a gradient from a multiple of it: Adam's steps do not. The weights may differ by
    a tenth of a step: a bias before an instance norm has no gradient but rounding, which Adam enlarges.
    """
    with np.load(one / checkpoint.FILE) as ours, np.load(other / checkpoint.FILE) as theirs:
        assert set(ours.files) == set(theirs.files)
        logs, others = (json.loads(state["record"].item())["history"] for state in (ours, theirs))
        for a, b in zip(logs, others, strict=True):
            assert a | {"seconds": 0} == pytest.approx(b | {"seconds": 0}, rel=1e-4)
        weights = sum(name.startswith("best") for name in ours.files)
        running = sum(name.startswith("running") for name in ours.files)
        assert running == 3 * weights + 1  # weights, the count of steps, two moments of each weight
        for i in range(running):
            atol = 1e-3 if i < weights else 1e-7
            ours_i, theirs_i = ours[f"running{i}"], theirs[f"running{i}"]
            np.testing.assert_allclose(ours_i, theirs_i, rtol=1e-3, atol=atol, err_msg=f"running{i}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("one", "two", id="segmentation"),
        pytest.param("all on one", "all on two", id="outcomes that are partly unknown"),
        pytest.param("two", "stopped", id="stopped after an epoch and gone on"),
    ],
)
def test_two_devices_train_as_one_does(one: str, other: str, states: tuple[Path, str]) -> None:
    compare(states[0] / one, states[0] / other)


def test_it_says_on_how_many_devices(states: tuple[Path, str]) -> None:
    # "two", "all on two", and "stopped" twice.
    assert states[1].splitlines().count("training on 2 GPUs") == 4


@pytest.mark.parametrize(
    ("batch_size", "found", "used"), [(4, 4, 4), (6, 4, 3), (3, 2, 1), (2, 8, 2), (7, 8, 7), (5, 0, 0)]
)
def test_as_many_devices_are_used_as_take_equal_shares(
    batch_size: int, found: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"GPU:{number}" for number in range(found)]
    monkeypatch.setattr(devices, "replicas", lambda: names)
    assert devices.shared_by(batch_size) == names[:used]


def test_a_batch_that_cannot_be_shared_stays_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "replicas", lambda: ["GPU:0", "GPU:1"])
    assert isinstance(devices.spread(3), nullcontext)
    assert list(devices.feed(lambda: iter("abc"), batch_size=3)) == ["a", "b", "c"]
