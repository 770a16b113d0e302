"""A step on several devices equals one on one device with the whole batch; the variables that name hosts.

That step runs in a process of its own, because TensorFlow creates logical devices only before its first use.
"""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from glioseg.models.training import checkpoint, distributed
from glioseg.params.settings_file import ParamsError
from tests.helpers.toys import make_train

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder with the state of every training, and the printed lines."""
    home = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.two_devices", str(home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home, done.stdout


def compare(one: Path, other: Path) -> None:
    """All variables that a step changes are equal: weights and Adam's moments.

    Only the moments reveal a gradient with a wrong factor, because Adam's steps do not depend on it. Weights
    may differ by a tenth of a step: the gradient of a bias before an instance norm is rounding, which Adam
    scales up.
    """
    with np.load(one / checkpoint.STATE_FILE) as ours, np.load(other / checkpoint.STATE_FILE) as theirs:
        assert set(ours.files) == set(theirs.files)
        weights = sum(name.startswith("best") for name in ours.files)
        running = sum(name.startswith("running") for name in ours.files)
        assert running == 3 * weights + 1  # weights, the count of steps, two moments of each weight
        for i in range(running):
            atol = 1e-3 if i < weights else 1e-7
            ours_i, theirs_i = ours[f"running{i}"], theirs[f"running{i}"]
            np.testing.assert_allclose(ours_i, theirs_i, rtol=1e-3, atol=atol, err_msg=f"running{i}")


def test_two_devices_train_like_one(states: tuple[Path, str]) -> None:
    """Dice over the whole batch, cross-entropy, and outcomes that are partly unknown."""
    one, two = states[0] / "one", states[0] / "two"
    compare_epochs(one, two)
    compare(one, two)
    compare_networks(one.with_suffix(".keras"), two.with_suffix(".keras"))


def test_a_resumed_training_restores_the_dropout_of_each_device(states: tuple[Path, str]) -> None:
    compare_epochs(states[0] / "dropping", states[0] / "stopped")
    compare_networks(states[0] / "dropping.keras", states[0] / "stopped.keras")


def compare_epochs(one: Path, other: Path) -> None:
    """Both trainings have the same logs."""
    for a, b in zip(history(one), history(other), strict=True):
        assert a | {"seconds": 0} == pytest.approx(b | {"seconds": 0}, rel=1e-4)


def history(state: Path) -> list[dict[str, float]]:
    with np.load(state / checkpoint.STATE_FILE) as stored:
        return json.loads(stored["record"].item())["history"]


def compare_networks(one: Path, other: Path) -> None:
    """Two model files are equal, except for rounding of weights and the time of their creation."""
    with zipfile.ZipFile(one) as ours, zipfile.ZipFile(other) as theirs:
        assert sorted(ours.namelist()) == sorted(theirs.namelist())
        assert ours.read("config.json") == theirs.read("config.json")
        stored, others = (weights(file.read("model.weights.h5")) for file in (ours, theirs))
    assert {k: v.shape for k, v in stored.items()} == {k: v.shape for k, v in others.items()}
    for name, values in stored.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-3, atol=1e-3, err_msg=name)


def weights(content: bytes) -> dict[str, np.ndarray]:
    """Every array of an HDF5 file by its path."""
    found = {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(lambda name, x: found.update({name: x[()]} if isinstance(x, h5py.Dataset) else {}))
    return found


def test_a_line_gives_the_number_of_devices(states: tuple[Path, str]) -> None:
    # "two", "dropping", and "stopped" twice.
    line = "training on 2 of 2 devices, 2 of each batch on each"
    assert states[1].splitlines().count(line) == 4


@pytest.mark.parametrize(
    ("batch_size", "devices", "found", "used"),
    [
        (4, "auto", 4, 4),
        (6, "auto", 4, 3),
        (3, "auto", 2, 1),
        (2, "auto", 8, 2),
        (7, "auto", 8, 7),
        (5, "auto", 0, 0),
        (4, 2, 4, 2),
        (4, 4, 4, 4),
        (4, 1, 4, 1),
        (4, 1, 0, 0),
    ],
)
def test_auto_uses_as_many_devices_as_divide_the_batch(
    tiny_train: Callable,
    batch_size: int,
    devices: int | str,
    found: int,
    used: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"GPU:{number}" for number in range(found)]
    monkeypatch.setattr(distributed, "available_devices", lambda: names)
    assert distributed.training_devices(tiny_train(batch_size=batch_size, devices=devices)) == names[:used]


@pytest.mark.parametrize("found", [0, 1, 3])
def test_fewer_devices_than_requested_are_an_error(
    tiny_train: Callable, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "available_devices", lambda: ["GPU"] * found)
    expected = rf"^train\.devices: expected 4 GPUs that can train together, got {found}$"
    with pytest.raises(ParamsError, match=expected):
        distributed.distribution_scope(tiny_train(batch_size=4, devices=4))


def test_an_indivisible_batch_stays_on_one_device(
    tiny_train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "available_devices", lambda: ["GPU:0", "GPU:1"])
    train = tiny_train(batch_size=3)
    assert isinstance(distributed.distribution_scope(train), nullcontext)
    assert list(distributed.fit_input(lambda: iter("abc"), train=train)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("cores", "gpu", "count"), [(8, None, 4), (8, (9, 0), 7), (1, None, 1), (1, (9, 0), 1)]
)
def test_with_a_gpu_all_cores_but_one_make_patches(
    cores: int, gpu: tuple[int, int] | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "usable_cores", lambda: cores)
    monkeypatch.setattr(distributed, "gpu_capability", lambda: gpu)
    assert distributed.patch_worker_count() == count


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "KERAS_DISTRIBUTION_JOB_ADDRESSES: expected KERAS_BACKEND=jax with it, got tensorflow"),
        ({"jax": "1"}, "KERAS_DISTRIBUTION_NUM_PROCESSES: expected a number, because .* is set, got nothing"),
        (
            {"jax": "1", distributed.HOST_COUNT_VARIABLE: "2", distributed.HOST_NUMBER_VARIABLE: "x"},
            "KERAS_DISTRIBUTION_PROCESS_ID: expected a number, because .* is set, got x",
        ),
    ],
)
def test_an_error_names_the_missing_variable(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "jax" in variables:
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for name, value in ({distributed.LEADER_VARIABLE: "nowhere:1"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=message):
        distributed.join_hosts(make_train())


def test_without_variables_a_host_trains_alone() -> None:
    distributed.join_hosts(make_train())
    assert distributed.is_main_host()
    assert not distributed.is_distributed()
