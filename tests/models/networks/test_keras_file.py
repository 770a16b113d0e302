"""A network is loaded in the requested precision, whichever it was trained in; its file can be compressed."""

import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.core.nifti import Grid, Volume
from glioseg.data.phantom import make_case
from glioseg.models import builtin
from glioseg.models.inference.loading import load_model, save_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks import hardware
from glioseg.models.networks.keras_file import (
    ModelError,
    compress_keras_file,
    load_network,
    load_networks,
    round_to_float16,
)
from glioseg.models.networks.unet import build_unet
from tests.helpers.bfloat16 import needs_bfloat16
from tests.helpers.models import make_settings

SHAPE = {"base_filters": 2, "depth": 2, "dropout": 0.1, "heads": "plain", "deep_supervision": "sum"}
OUTPUTS = ("segmentation", "grade", "survival")
POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
LARGE = {
    "seed": {"enc0_conv1", "enc0_conv2", "dec0_up_conv", "dec0_conv1"},
    "isensee": {"enc0_conv1", "enc0_conv2", "dec0_up_conv", "dec0_conv1"},
    "nnunet": {"enc0_conv2", "dec0_conv1", "dec0_conv2"},
}
"""The 3³ convolutions at full resolution, by architecture, without the one that reads the image."""


def stored(tmp_path, policy, architecture="seed"):
    """A network of this dtype policy, and its file."""
    model = build_unet(architecture=architecture, outputs=OUTPUTS, dtype=policy, **SHAPE)
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras", model


@pytest.mark.parametrize("trained", POLICY)
@pytest.mark.parametrize("architecture", LARGE)
def test_only_large_convolutions_run_in_the_requested_precision(tmp_path, architecture, trained):
    file, model = stored(tmp_path, POLICY[trained], architecture)
    for precision, policy in POLICY.items():
        read = load_network(file, precision)
        found = {layer.name for layer in read.layers if layer.dtype_policy.name == "mixed_bfloat16"}
        assert found == (LARGE[architecture] if policy == "mixed_bfloat16" else set())
        assert {layer.dtype_policy.name for layer in read.layers} <= {"float32", policy}
        for ours, theirs in zip(read.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_in_float32_predictions_are_those_of_the_trained_network(tmp_path):
    file, model = stored(tmp_path, "float32")
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8, 4)).astype(np.float32)
    ours, theirs = (each.predict_on_batch(image) for each in (load_network(file, "float32"), model))
    for name in OUTPUTS:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize(("flags", "policy"), [({"avx2"}, "float32"), ({"avx512_bf16"}, "mixed_bfloat16")])
def test_a_model_folder_is_loaded_in_the_precision_of_this_machine(tmp_path, monkeypatch, flags, policy):
    for name in (hardware.ONEDNN, hardware.ONEDNN_ISA):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(hardware, "gpu_capability", lambda: None)
    _, model = stored(tmp_path, {"float32": "mixed_bfloat16", "mixed_bfloat16": "float32"}[policy])
    save_model(tmp_path, [model, model], make_settings())
    for network in (*load_model(tmp_path).models, *load_networks(tmp_path)):
        assert network.get_layer("enc0_conv1").dtype_policy.name == policy


@needs_bfloat16
def test_the_builtin_model_predicts_alike_in_float32_and_bfloat16():
    """At least 99.8 % of the tumour voxels of a synthetic case have the same label."""
    case = make_case(index=0, seed=2018)
    centre = np.argwhere(case.segmentation).mean(axis=0).astype(int)
    around = tuple(slice(max(0, n - 48), n + 48) for n in centre)
    grid = Grid(case.segmentation[around].shape, np.eye(4))
    images = {name: Volume(image[around].copy(), grid) for name, image in case.images.items()}
    settings = replace(Settings.load(builtin.FOLDER), mirror=False)
    file = builtin.FOLDER / "model.keras"
    one, other = (
        Predictor((load_network(file, precision),), settings).segment(images) for precision in POLICY
    )
    tumour = (one > 0) | (other > 0)
    assert tumour.sum() > 10_000
    assert (one == other)[tumour].mean() >= 0.998


def test_an_error_names_a_file_that_is_not_a_network(tmp_path):
    file = tmp_path / "model.keras"
    with pytest.raises(ModelError, match=r"model\.keras: not a Keras model: .*No such file"):
        load_network(file)
    file.write_bytes(b"no zip")
    with pytest.raises(ModelError, match=r"model\.keras: not a Keras model"):
        load_network(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"model\.keras: not a Keras model"):
        load_network(file)


def test_a_lambda_layer_is_rejected_because_it_would_run_code(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="not a Keras model"):
        load_network(tmp_path / "model.keras")


def wide_network() -> keras.Model:
    image = keras.Input((None, None, None, 4))
    x = keras.layers.Conv3D(24, 3, padding="same", name="wide")(image)
    return keras.Model(image, keras.layers.Conv3D(24, 3, padding="same", name="more")(x))


def test_each_weight_is_rounded_to_the_nearest_float16() -> None:
    model = wide_network()
    before = model.get_layer("wide").get_weights()[0]
    round_to_float16(model)
    (after, bias) = model.get_layer("wide").get_weights()
    assert after.dtype == bias.dtype == np.float32
    # float16 has 10 fraction bits: the rounding error is at most half of the last one.
    normal = np.abs(before) >= 2.0**-14
    assert normal.mean() > 0.9
    assert (np.abs(after - before)[normal] <= np.abs(before[normal]) * 2.0**-11).all()
    assert (after != before).any()
    np.testing.assert_array_equal(after, after.astype(np.float16))


def test_a_compressed_file_has_the_same_weights_and_is_smaller(tmp_path: Path) -> None:
    model, file = wide_network(), tmp_path / "model.keras"
    round_to_float16(model)
    model.save(file)
    before = file.stat().st_size
    compress_keras_file(file)
    assert file.stat().st_size < 0.7 * before
    (loaded,) = load_networks(tmp_path)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


def test_compression_is_deterministic(tmp_path: Path) -> None:
    wide_network().save(tmp_path / "model.keras")
    compress_keras_file(tmp_path / "model.keras")
    once = (tmp_path / "model.keras").read_bytes()
    compress_keras_file(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == once
