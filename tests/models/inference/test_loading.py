"""Model folders on disk, ensembles of them, and cached models."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from glioseg.core.nifti import Grid, Volume
from glioseg.models.inference import loading
from glioseg.models.inference.loading import (
    CachedModel,
    ensemble_settings,
    load_ensemble,
    load_model,
    save_model,
)
from glioseg.models.inference.model_settings import Settings, VolumeIntervals
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks.keras_file import ModelError
from glioseg.models.networks.weight_transfer import transfer_weights
from glioseg.params.contract import CONTRACT, Contract
from tests.helpers.models import Formula, everywhere, make_settings


@pytest.fixture(scope="module")
def networks():
    """Two Keras networks of one number each: σ(bias) everywhere."""
    import keras

    def make(bias):
        image = keras.Input((None, None, None, 4))
        layer = keras.layers.Conv3D(3, 1, activation="sigmoid", kernel_initializer="zeros")
        network = keras.Model(image, {"segmentation": layer(image)})
        layer.bias.assign(np.full(3, bias))
        return network

    return make(0.0), make(np.log(3.0))


def mean_probability(loaded):
    grid = np.zeros((1, 4, 4, 4, 4), np.float32)
    return np.mean([np.asarray(model.predict_on_batch(grid)["segmentation"]) for model in loaded.models])


def test_a_model_folder_holds_all_members(networks, tmp_path):
    settings = make_settings(temperature=(1.5, 1.0, 0.5), calibration_error_before=(0.1, 0.2, 0.3))
    save_model(tmp_path, networks, settings)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model_1.keras", "settings.json"}
    loaded = load_model(tmp_path)
    assert loaded.settings == settings
    assert mean_probability(loaded) == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_several_folders_make_one_ensemble(networks, tmp_path):
    first = make_settings(window_shape=(20, 20, 20), multiple=4, min_et_ml=0.5, modality_dropout=0.2)
    second = make_settings(multiple=8, base_filters=16, min_et_ml=0.1, margin_vox=3)
    for name, settings in {"one": first, "two": second}.items():
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, [networks[name == "two"]], settings)
    loaded = load_ensemble([tmp_path / "one", tmp_path / "two"])
    assert mean_probability(loaded) == pytest.approx(0.625)
    # Settings that suit both: 24 is the next multiple of 8, and memory is estimated for 16 filters.
    common = {"window_shape": (24, 24, 24), "multiple": 8, "base_filters": 16, "modality_dropout": 0.0}
    assert loaded.settings == replace(first, **common)
    (tmp_path / "one" / "contract.yaml").write_text("affine: {tolerance: 0.01}\n")
    assert load_ensemble([tmp_path / "one", tmp_path / "two"]).contract.affine.tolerance == 0.01
    assert load_model(tmp_path / "one").contract.affine.tolerance == 0.01
    assert load_model(tmp_path / "two").contract == Contract()
    assert load_ensemble([tmp_path / "one"]).settings == first


def test_an_ensemble_of_several_folders_has_no_volume_intervals(tmp_path):
    calibrated = make_settings(volume_intervals=VolumeIntervals((1.0, 1.0, 1.0), level=0.9, cases=19))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        calibrated.save(tmp_path / name)
    assert ensemble_settings([tmp_path / "one"]).volume_intervals == calibrated.volume_intervals
    assert ensemble_settings([tmp_path / "one", tmp_path / "two"]).volume_intervals is None


def test_the_contract_of_a_model_sets_the_spacing_of_its_training(networks, tmp_path):
    for name, mm in {"one": [1, 1, 2.5], "two": [1, 1, 1]}.items():
        (folder := tmp_path / name).mkdir()
        save_model(folder, [networks[0]], make_settings(multiple=4))
        (folder / CONTRACT).write_text(f"spacing: {{mm: {mm}}}")
    assert load_model(tmp_path / "one").contract.spacing.mm == (1, 1, 2.5)
    assert load_ensemble([tmp_path / "one"]).contract.spacing.mm == (1, 1, 2.5)
    expected = r"two: expected contract spacing \(1.0, 1.0, 2.5\), as in .*one, got \(1.0, 1.0, 1.0\)"
    with pytest.raises(ModelError, match=expected):
        load_ensemble([tmp_path / "one", tmp_path / "two"])


@pytest.mark.parametrize(("name", "value"), [("spacing_mm", 2), ("target", "labels")])
def test_networks_with_different_inputs_or_outputs_are_no_ensemble(tmp_path, name, value):
    for folder, changes in (("one", {}), ("two", {name: value})):
        (tmp_path / folder).mkdir()
        make_settings(**changes).save(tmp_path / folder)
    expected = f"two: expected {name} {getattr(make_settings(), name)}, as in .*one, got {value}"
    with pytest.raises(ModelError, match=expected):
        load_ensemble([tmp_path / "one", tmp_path / "two"])


def test_the_error_names_a_folder_without_a_network(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere/settings.json: not a model's settings"):
        load_model(tmp_path / "nowhere")
    make_settings().save(tmp_path)
    with pytest.raises(ModelError, match=r"model.keras: not a Keras model"):
        load_model(tmp_path)


def test_members_are_loaded_in_the_order_of_their_numbers(networks, tmp_path):
    save_model(tmp_path, [networks[0]] * 10 + [networks[1]], make_settings())
    loaded = load_model(tmp_path).models
    assert [mean_probability(Predictor((model,), make_settings())) for model in loaded] == pytest.approx(
        [0.5] * 10 + [0.75]
    )


@pytest.mark.parametrize("lacks", ["config.json", "model.weights.h5", "a right checksum"])
def test_the_error_names_a_network_file_that_lacks_a_part(networks, tmp_path, lacks):
    save_model(tmp_path, networks[:1], make_settings())
    file = tmp_path / "model.keras"
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist() if name != lacks}
    with zipfile.ZipFile(file, "w") as cut:
        for name, content in parts.items():
            cut.writestr(name, content)
    if lacks == "a right checksum":
        weights = parts["model.weights.h5"]
        file.write_bytes(file.read_bytes().replace(weights, weights[:-1] + bytes([weights[-1] ^ 255])))
    for load in (lambda: load_model(tmp_path), lambda: transfer_weights(networks[0], file)):
        with pytest.raises(ModelError, match=r"model\.keras: not a Keras model: "):
            load()


def test_a_cached_model_is_loaded_once_and_applies_its_overrides(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_settings(memory_gb=5.0, mirror=False).save(tmp_path / name)
    loads = []

    def load(folders):
        loads.append(folders)
        return Predictor((Formula(everywhere),), Settings.load(folders[0]))

    monkeypatch.setattr(loading, "load_ensemble", load)
    model = CachedModel((tmp_path / "one",), "digest one", mirror=True, memory_gb=3.0)
    assert (model.settings.mirror, model.settings.memory_gb) == (True, 3.0)
    scan = Volume(np.ones((4, 4, 4), np.int16), Grid((4, 4, 4), np.eye(4)))
    for same in (model, CachedModel((tmp_path / "moved",), "digest one", mirror=True, memory_gb=3.0)):
        assert (
            same.predict({"t1": scan}).labels == 1
        ).all()  # WT is certain, and 0.5 is at the threshold of TC
    assert loads == [[tmp_path / "one"]]  # the digest identifies the model, not the folder
    assert CachedModel((tmp_path / "two",), "digest two").load().settings.mirror is False
    assert len(loads) == 2
