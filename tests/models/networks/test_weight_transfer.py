"""Weights are taken by name where shapes match; the rest is listed."""

from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.models.networks import weight_transfer
from glioseg.models.networks.keras_file import ModelError
from glioseg.models.networks.unet import build_unet
from glioseg.models.networks.weight_transfer import take_weights


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


def test_what_fits_is_taken_and_the_rest_listed(stored: tuple[keras.Model, Path]) -> None:
    source, file = stored
    model = network(6, out="head")
    before = model.get_layer("second").get_weights()[0]
    weight_transfer = take_weights(model, file)
    assert weight_transfer.taken == ["first"]
    assert weight_transfer.left == {
        "second": "expected shapes [(4, 6), (6,)], got shapes [(4, 5), (5,)]",
        "head": "expected shapes [(6, 2), (2,)], got no such layer",
    }
    np.testing.assert_array_equal(
        model.get_layer("first").get_weights()[0], source.get_layer("first").get_weights()[0]
    )
    np.testing.assert_array_equal(model.get_layer("second").get_weights()[0], before)
    assert str(weight_transfer).startswith("1 layers taken, 2 left as they were\n  second: expected")


def test_the_same_network_is_taken_whole(stored: tuple[keras.Model, Path]) -> None:
    source, file = stored
    model = network(5)
    assert take_weights(model, file).left == {}
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(model(x), source(x))


def test_nothing_that_fits_is_an_error(stored: tuple[keras.Model, Path]) -> None:
    x = keras.Input((9,))
    stranger = keras.Model(x, keras.layers.Dense(1, name="stranger")(x))
    with pytest.raises(ModelError, match=r"model\.keras: expected a layer that fits, got none"):
        take_weights(stranger, stored[1])


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"train\.init_from: .*nowhere\.keras: not a Keras model"):
        take_weights(network(5), tmp_path / "nowhere.keras")


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
def test_a_wider_network_begins_with_the_answers_of_the_stored_one(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, wide = unet(architecture, 3), unet(architecture, 6)
    narrow.save(file := tmp_path / "narrow.keras")
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 16, 4)).astype(np.float32)
    monkeypatch.setattr(weight_transfer, "TELL_APART", 0.0)
    taken = take_weights(wide, file)
    assert not taken.left
    assert set(taken.widened) == set(taken.taken)  # every layer has feature maps on one side at least
    assert str(taken).endswith(f"{len(taken.taken)} of the taken are wider here")
    for name, answer in narrow.predict_on_batch(image).items():
        np.testing.assert_allclose(wide.predict_on_batch(image)[name], answer, atol=1e-5)


def test_copies_of_a_feature_map_are_told_apart_by_a_fifth_of_its_weights(tmp_path: Path) -> None:
    narrow, wide = unet("seed", 3), unet("seed", 6)
    narrow.save(file := tmp_path / "narrow.keras")
    take_weights(wide, file)
    kernel = wide.get_weights()[0]
    one, other = kernel[..., 0::2], kernel[..., 1::2]
    # Both err by a fifth of the weights' deviation, and their difference by √2 times that.
    assert np.std(one - other) == pytest.approx(2**0.5 * 0.2 * narrow.get_weights()[0].std(), rel=0.1)
