"""The 2018 system from which this project started: its parameters, Dice by hand, and training."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.networks.unet import build_unet
from glioseg.models.training.fit import fit
from glioseg.models.training.losses import seed_dice, seed_loss, seed_weighted_dice
from glioseg.params.sections import Network, Train

MakeNetwork = Callable[..., Network]
MakeTrain = Callable[..., Train]


@pytest.mark.parametrize(("heads", "count"), [("plain", 4_653_261), ("normalised", 4_653_279)])
def test_it_has_the_number_of_parameters_of_the_original(heads: str, count: int) -> None:
    model = build_unet(
        architecture="seed", base_filters=12, depth=5, dropout=0.3, heads=heads, deep_supervision="sum"
    )
    assert model.count_params() == count


def regions(*voxels: list[float]) -> np.ndarray:
    """Channels, each a list of voxels, as one case (1, 1, 1, voxels, channels)."""
    return np.array(voxels, np.float32).T[np.newaxis, np.newaxis, np.newaxis]


def test_seed_dice_depends_on_the_large_region_and_weighted_dice_on_both() -> None:
    truth = regions([1, 1, 1, 0], [0, 0, 0, 1])
    found_the_large_one = regions([1, 1, 1, 0], [0, 0, 0, 0])
    # (2·3 + 1) / (4 + 3 + 1), and the mean of 1 and 0.
    assert float(seed_dice(truth, found_the_large_one)) == pytest.approx(7 / 8)
    assert float(seed_weighted_dice(truth, found_the_large_one)) == pytest.approx(1 / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("truth", "prediction", "at_once", "weighted"),
    [(0, 0, 1.0, 1.0), (1, 0, 1 / 2, 1e-5 / (1 + 1e-5)), (0, 1, 1 / 2, 1e-5 / (1 + 1e-5))],
)
def test_empty_masks(truth: float, prediction: float, at_once: float, weighted: float) -> None:
    masks = regions([truth, 0]), regions([prediction, 0])
    assert float(seed_dice(*masks)) == pytest.approx(at_once)
    assert float(seed_weighted_dice(*masks)) == pytest.approx(weighted)


def test_batch_sums_over_cases_or_averages_them() -> None:
    truth = np.concatenate([regions([1, 1, 1]), regions([0, 0, 0])])
    prediction = np.concatenate([regions([1, 1, 1]), regions([1, 0, 0])])
    # (2·3 + 1) / (3 + 4 + 1); cases: 7/7 and 1/2
    assert float(seed_dice(truth, prediction)) == pytest.approx(7 / 8)
    assert float(seed_loss(truth, prediction, batch=True)) == pytest.approx(1 / 8)
    assert float(seed_loss(truth, prediction, batch=False)) == pytest.approx(1 / 4)


def test_both_dice_work_as_keras_metrics() -> None:
    image = keras.Input((None, None, None, 2))
    model = keras.Model(image, {"segmentation": keras.layers.Activation("linear")(image)})
    metrics = {"segmentation": [seed_dice, seed_weighted_dice]}
    model.compile(loss={"segmentation": "mse"}, metrics=metrics, jit_compile=False)
    truth, prediction = regions([1, 1, 1, 0], [0, 0, 0, 1]), regions([1, 1, 1, 0], [0, 0, 0, 0])
    logs = model.evaluate(prediction, {"segmentation": truth}, verbose=0, return_dict=True)
    assert logs["seed_dice"] == pytest.approx(7 / 8)
    assert logs["seed_weighted_dice"] == pytest.approx(1 / 2, abs=1e-5)


@pytest.fixture(scope="module")
def trained(
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[dict[str, float]], Path]:
    """The epochs of sixty steps with the seed's settings, and the folder of TensorBoard's logs."""
    folder = tmp_path_factory.mktemp("seed")
    way = {"loss": "seed", "batch_dice": True, "monitor": "val_loss", "schedule": "constant"}
    size = {"patch_shape": (16, 16, 16), "batch_size": 1, "epochs": 3, "steps_per_epoch": 20}
    fitted = fit(
        network=tiny_network(target="labels", heads="normalised", dropout=0.0),
        train=tiny_train(**way, **size, learning_rate=0.1, augmentation_strength=0.0),
        cases=toys[:3],
        validation=toys[3:],
        state=folder / "state",
        on_epoch=lambda epoch, logs: None,
        tensorboard=folder / "board",
    )
    return fitted.history, folder / "board"


def test_its_loss_is_one_minus_its_dice(trained: tuple[list[dict[str, float]], Path]) -> None:
    for epoch in trained[0]:
        assert epoch["val_loss"] == pytest.approx(1 - epoch["val_seed_dice"], abs=1e-5)
        assert epoch["loss"] == pytest.approx(1 - epoch["seed_dice"], abs=1e-3)
        assert 0 <= epoch["val_seed_weighted_dice"] <= 1


def test_its_settings_learn(trained: tuple[list[dict[str, float]], Path]) -> None:
    # Predicting tumour everywhere reaches 0.15: the heads end in a LeakyReLU, whose slope must let logits of
    # background fall below 0.
    assert trained[0][-1]["val_dice_wt"] > 0.5


def test_it_logs_to_tensorboard(trained: tuple[list[dict[str, float]], Path]) -> None:
    assert {path.name for path in trained[1].iterdir()} == {"train", "validation"}
