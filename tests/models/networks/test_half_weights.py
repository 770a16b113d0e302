"""Half precision, and a packed file: the same network, in about half the room."""

import zipfile
from pathlib import Path

import keras
import numpy as np

from glioseg.models.networks.half_weights import deflate, round_to_half
from glioseg.models.networks.keras_file import load_networks


def network() -> keras.Model:
    image = keras.Input((None, None, None, 4))
    x = keras.layers.Conv3D(24, 3, padding="same", name="wide")(image)
    return keras.Model(image, keras.layers.Conv3D(24, 3, padding="same", name="more")(x))


def test_each_weight_becomes_the_nearest_that_half_precision_has() -> None:
    model = network()
    before = model.get_layer("wide").get_weights()[0]
    round_to_half(model)
    (after, bias) = model.get_layer("wide").get_weights()
    assert after.dtype == bias.dtype == np.float32
    # A half has 10 bits after the first: rounding errs by half of the last of them at most.
    normal = np.abs(before) >= 2.0**-14
    assert normal.mean() > 0.9
    assert (np.abs(after - before)[normal] <= np.abs(before[normal]) * 2.0**-11).all()
    assert (after != before).any()
    np.testing.assert_array_equal(after, after.astype(np.float16))


def test_a_packed_file_is_loaded_as_any_other_and_takes_about_half_the_room(tmp_path: Path) -> None:
    model, file = network(), tmp_path / "model.keras"
    round_to_half(model)
    model.save(file)
    before = file.stat().st_size
    deflate(file)
    assert file.stat().st_size < 0.7 * before
    (loaded,) = load_networks(tmp_path)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


def test_the_same_network_packs_to_the_same_bytes(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    deflate(tmp_path / "model.keras")
    once = (tmp_path / "model.keras").read_bytes()
    deflate(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == once
