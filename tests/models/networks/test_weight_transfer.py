"""Layers get stored weights by name where shapes fit; the others are listed."""

from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.models.networks import weight_transfer
from glioseg.models.networks.keras_file import ModelError
from glioseg.models.networks.unet import build_unet
from glioseg.models.networks.weight_transfer import transfer_weights


def network(hidden: int, out: str = "out") -> keras.Model:
    x = keras.Input((3,), name="image")
    y = keras.layers.Dense(4, name="first")(x)
    y = keras.layers.Dense(hidden, name="second")(y)
    return keras.Model(x, keras.layers.Dense(2, name=out)(y))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[keras.Model, Path]:
    model, file = network(5), tmp_path / "model.keras"
    model.save(file)
    return model, file


def test_layers_that_fit_get_weights_and_others_are_listed(stored: tuple[keras.Model, Path]) -> None:
    source, file = stored
    model = network(6, out="head")
    before = model.get_layer("second").get_weights()[0]
    transfer = transfer_weights(model, file)
    assert transfer.transferred == ["first"]
    assert transfer.skipped == {
        "second": "expected shapes [(4, 6), (6,)], got shapes [(4, 5), (5,)]",
        "head": "expected shapes [(6, 2), (2,)], got no such layer",
    }
    np.testing.assert_array_equal(
        model.get_layer("first").get_weights()[0], source.get_layer("first").get_weights()[0]
    )
    np.testing.assert_array_equal(model.get_layer("second").get_weights()[0], before)
    assert str(transfer).startswith("1 layers with stored weights, 2 skipped\n  second: expected")


def test_an_equal_network_gets_all_weights(stored: tuple[keras.Model, Path]) -> None:
    source, file = stored
    model = network(5)
    assert transfer_weights(model, file).skipped == {}
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(model(x), source(x))


def test_no_layer_that_fits_is_an_error(stored: tuple[keras.Model, Path]) -> None:
    x = keras.Input((9,))
    other = keras.Model(x, keras.layers.Dense(1, name="other")(x))
    with pytest.raises(ModelError, match=r"model\.keras: expected a layer that fits, got none"):
        transfer_weights(other, stored[1])


def test_an_error_names_a_file_that_is_not_a_network(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"train\.init_from: .*nowhere\.keras: not a Keras model"):
        transfer_weights(network(5), tmp_path / "nowhere.keras")


def unet(architecture: str, filters: int) -> keras.Model:
    return build_unet(
        architecture=architecture,
        base_filters=filters,
        depth=3,
        dropout=0.1,
        heads="plain",
        deep_supervision="sum",
        outputs=("segmentation", "grade"),
    )


@pytest.mark.parametrize("architecture", ["seed", "isensee", "nnunet"])
def test_a_wider_network_begins_with_the_predictions_of_the_stored_one(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, wide = unet(architecture, 3), unet(architecture, 6)
    narrow.save(file := tmp_path / "narrow.keras")
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 16, 4)).astype(np.float32)
    monkeypatch.setattr(weight_transfer, "COPY_NOISE", 0.0)
    transfer = transfer_weights(wide, file)
    assert not transfer.skipped
    # Every layer has feature maps as input, as output, or as both.
    assert set(transfer.widened) == set(transfer.transferred)
    assert str(transfer).endswith(f"{len(transfer.transferred)} widened")
    for name, prediction in narrow.predict_on_batch(image).items():
        np.testing.assert_allclose(wide.predict_on_batch(image)[name], prediction, atol=1e-5)


def test_copies_of_a_feature_map_differ_by_noise_of_a_fifth_of_its_weights(tmp_path: Path) -> None:
    narrow, wide = unet("seed", 3), unet("seed", 6)
    narrow.save(file := tmp_path / "narrow.keras")
    transfer_weights(wide, file)
    kernel = wide.get_weights()[0]
    one, other = kernel[..., 0::2], kernel[..., 1::2]
    # The noise of each has a fifth of the weights' standard deviation, their difference √2 times that.
    assert np.std(one - other) == pytest.approx(2**0.5 * 0.2 * narrow.get_weights()[0].std(), rel=0.1)
