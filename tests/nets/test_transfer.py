"""Weights are taken by name where shapes match; the rest is listed."""

from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.nets.transfer import take_weights


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
    transfer = take_weights(model, file)
    assert transfer.taken == ["first"]
    assert transfer.left == {
        "second": "expected shapes [(4, 6), (6,)], got shapes [(4, 5), (5,)]",
        "head": "expected shapes [(6, 2), (2,)], got no such layer",
    }
    np.testing.assert_array_equal(
        model.get_layer("first").get_weights()[0], source.get_layer("first").get_weights()[0]
    )
    np.testing.assert_array_equal(model.get_layer("second").get_weights()[0], before)
    assert str(transfer).startswith("1 layers taken, 2 left as they were\n  second: expected")


def test_the_same_network_is_taken_whole(stored: tuple[keras.Model, Path]) -> None:
    source, file = stored
    model = network(5)
    assert take_weights(model, file).left == {}
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(model(x), source(x))


def test_nothing_that_fits_is_an_error(stored: tuple[keras.Model, Path]) -> None:
    x = keras.Input((9,))
    stranger = keras.Model(x, keras.layers.Dense(1, name="stranger")(x))
    with pytest.raises(ValueError, match=r"model\.keras: expected a layer that fits, got none"):
        take_weights(stranger, stored[1])


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.init_from: .*nowhere\.keras: not a Keras model"):
        take_weights(network(5), tmp_path / "nowhere.keras")
