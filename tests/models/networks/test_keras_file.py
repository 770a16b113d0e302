"""A network computes in the precision that its reader asks for, whichever it was trained in."""

import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from glioseg.core.nifti import Grid, Volume
from glioseg.data.phantom import make_case
from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Segmenter, load_model, save_model
from glioseg.models.networks import precision
from glioseg.models.networks.keras_file import ModelError, load_network, load_networks
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
    """A network, and its file as a machine writes it that trains in this policy."""
    model = build_unet(architecture=architecture, outputs=OUTPUTS, dtype=policy, **SHAPE)
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras", model


@pytest.mark.parametrize("trained", POLICY)
@pytest.mark.parametrize("architecture", LARGE)
def test_large_convolutions_run_in_the_precision_asked_for_and_all_else_in_float32(
    tmp_path, architecture, trained
):
    file, model = stored(tmp_path, POLICY[trained], architecture)
    for asked, policy in POLICY.items():
        read = load_network(file, asked)
        found = {layer.name for layer in read.layers if layer.dtype_policy.name == "mixed_bfloat16"}
        assert found == (LARGE[architecture] if policy == "mixed_bfloat16" else set())
        assert {layer.dtype_policy.name for layer in read.layers} <= {"float32", policy}
        for ours, theirs in zip(read.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_in_float32_it_is_the_network_that_was_trained_in_float32(tmp_path):
    file, model = stored(tmp_path, "float32")
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8, 4)).astype(np.float32)
    ours, theirs = (each.predict_on_batch(image) for each in (load_network(file, "float32"), model))
    for name in OUTPUTS:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize(("flags", "policy"), [({"avx2"}, "float32"), ({"avx512_bf16"}, "mixed_bfloat16")])
def test_a_model_folder_is_loaded_as_this_machine_computes_fast(tmp_path, monkeypatch, flags, policy):
    for name in (precision.ONEDNN, precision.ONEDNN_ISA):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision, "gpu_capability", lambda: None)
    _, model = stored(tmp_path, {"float32": "mixed_bfloat16", "mixed_bfloat16": "float32"}[policy])
    save_model(tmp_path, [model, model], make_settings())
    for network in (*load_model(tmp_path).models, *load_networks(tmp_path)):
        assert network.get_layer("enc0_conv1").dtype_policy.name == policy


@needs_bfloat16
def test_the_built_in_model_answers_alike_in_float32_and_bfloat16():
    """At least 99.8 % of the tumour's voxels have the same label; around the tumour of a synthetic case."""
    drawn = make_case(index=0, seed=2018)
    centre = np.argwhere(drawn.segmentation).mean(axis=0).astype(int)
    around = tuple(slice(max(0, n - 48), n + 48) for n in centre)
    grid = Grid(drawn.segmentation[around].shape, np.eye(4))
    images = {name: Volume(image[around].copy(), grid) for name, image in drawn.images.items()}
    settings = replace(Settings.load(builtin.FOLDER), mirror=False)
    file = builtin.FOLDER / "model.keras"
    one, other = (Segmenter((load_network(file, asked),), settings).segment(images) for asked in POLICY)
    tumour = (one > 0) | (other > 0)
    assert tumour.sum() > 10_000
    assert (one == other)[tumour].mean() >= 0.998


def test_a_file_that_holds_no_network_is_named(tmp_path):
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


def test_a_lambda_layer_is_refused_as_it_would_run_code_of_the_file(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="not a Keras model"):
        load_network(tmp_path / "model.keras")
