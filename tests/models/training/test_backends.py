"""Networks and losses are the same on TensorFlow and on JAX, and model files work on both.

The test runs this file again as a module, with the other backend of Keras.
"""

import json
import os
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.models.networks.blocks import ARCHITECTURES
from glioseg.models.networks.unet import build_unet
from glioseg.models.training.fit import fit
from glioseg.models.training.losses import compile_losses, seed_dice, seed_weighted_dice
from glioseg.params.sections import LossName, Train
from tests.helpers.toys import make_network, write_toy

OTHER = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
LOSSES = typing.get_args(LossName)
METRICS = (seed_dice, seed_weighted_dice)
ROOT = Path(__file__).parents[3]
OUTPUTS = ("segmentation", "grade", "survival")
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 8, 4)).astype(np.float32)


def truths() -> dict[str, np.ndarray]:
    """Targets of each output; one case has an unknown grade."""
    masks = np.random.default_rng(1).random((2, 8, 8, 8, 3)) > 0.6
    grade, survival = np.array([[1.0], [np.nan]], np.float32), np.array([[0.5], [2.0]], np.float32)
    return {"segmentation": masks, "grade": grade, "survival": survival}


def train_each(folder: Path, train: Train) -> None:
    """Build every architecture, train it for a step, and save it with its predictions."""
    for number, architecture in enumerate(ARCHITECTURES):
        keras.utils.set_random_seed(number)
        model = build_unet(
            architecture=architecture,
            base_filters=4,
            depth=2,
            dropout=0.2,
            heads="plain",
            deep_supervision="none",
            outputs=OUTPUTS,
        )
        losses, weights = compile_losses(model.output, train)
        adam = keras.optimizers.Adam(train.learning_rate)
        model.compile(adam, loss=losses, loss_weights=weights, jit_compile=False)
        kernels = [weight for weight in model.trainable_weights if weight.name == "kernel"]
        before = [keras.ops.convert_to_numpy(kernel) for kernel in kernels]
        logs = model.train_on_batch(IMAGES, truths(), return_dict=True)
        assert np.isfinite(list(logs.values())).all(), logs
        assert all(np.any(b != keras.ops.convert_to_numpy(k)) for b, k in zip(before, kernels, strict=True))
        model.save(folder / f"{architecture}.keras")
        np.savez(folder / f"{architecture}.npz", **model.predict_on_batch(IMAGES))


def losses_of(folder: Path, train: Train) -> None:
    """Save the value of every loss, and of the seed's metrics, for the same predictions."""
    rng = np.random.default_rng(2)
    predictions = {name: rng.random(x.shape).astype(np.float32) for name, x in truths().items()}
    predictions["segmentation_2"] = predictions["segmentation"][:, ::2, ::2, ::2]
    values = {}
    for name in LOSSES:
        for batch in (False, True):
            changed = train.model_copy(update={"loss": name, "batch_dice": batch})
            losses, _ = compile_losses(predictions, changed)
            for output, loss in losses.items():
                truth = truths()[output.partition("_")[0]]
                values[f"{name} {batch} {output}"] = float(loss(truth, predictions[output]))
    masks = truths()["segmentation"].astype(np.float32)
    for metric in METRICS:
        values[metric.__name__] = float(metric(masks, predictions["segmentation"]))
    (folder / "losses.json").write_text(json.dumps(values))


def differences(folder: Path) -> dict[str, float]:
    """Largest difference of each architecture's predictions from those of the backend that trained it."""
    found = {}
    for architecture in ARCHITECTURES:
        model = keras.saving.load_model(folder / f"{architecture}.keras", compile=False)
        predictions = model.predict_on_batch(IMAGES)
        with np.load(folder / f"{architecture}.npz") as stored:
            found[architecture] = max(float(np.abs(stored[o] - predictions[o]).max()) for o in predictions)
    return found


def fit_toy(folder: Path, train: Train) -> dict[str, float]:
    """Train on one toy for a step, with the seed's loss and all outcomes; returns the logs."""
    toy = write_toy(folder, 1)
    fitted = fit(
        network=make_network(),
        train=train.model_copy(update={"loss": "seed", "epochs": 1, "steps_per_epoch": 1, "batch_size": 1}),
        cases=[toy],
        validation=[toy],
        state=folder / "state",
        on_epoch=lambda epoch, logs: None,
    )
    return fitted.history[0]


def run_all(own: Path, others: Path, train: Train) -> None:
    """All that the other backend computes."""
    train_each(own, train)
    losses_of(own, train)
    report = {
        "backend": keras.backend.backend(),
        "differences": differences(others),
        "logs": fit_toy(own, train),
    }
    (own / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, tiny_train: Callable) -> tuple[Path, Path]:
    """The output folders of this backend and of the other one."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    train = tiny_train(outputs=OUTPUTS)
    train_each(here, train)
    losses_of(here, train)
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.training.test_backends", there, here],
        cwd=ROOT,
        input=train.model_dump_json(),
        # JAX without jit compiles each operation separately: fast compilation matters more than fast code.
        env=os.environ | {"KERAS_BACKEND": OTHER, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return here, there


def test_the_other_backend_reproduces_predictions_of_this_one(both: tuple[Path, Path]) -> None:
    report = json.loads((both[1] / "report.json").read_text())
    assert report["backend"] == OTHER
    assert max(report["differences"].values()) < 1e-4


def test_the_other_backend_trains_from_end_to_end(both: tuple[Path, Path]) -> None:
    logs = json.loads((both[1] / "report.json").read_text())["logs"]
    assert {
        "loss",
        "val_loss",
        "val_dice",
        "val_segmentation_seed_weighted_dice",
        "val_survival_loss",
    } <= set(logs)
    assert np.isfinite(list(logs.values())).all(), logs


def test_this_backend_reproduces_predictions_of_the_other_one(both: tuple[Path, Path]) -> None:
    assert max(differences(both[1]).values()) < 1e-4


def test_losses_have_the_same_values(both: tuple[Path, Path]) -> None:
    here, there = (json.loads((folder / "losses.json").read_text()) for folder in both)
    assert len(here) == len(LOSSES) * 2 * 4 + len(METRICS)
    assert there == pytest.approx(here, rel=1e-5)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]), Path(sys.argv[2]), Train.model_validate_json(sys.stdin.read()))
