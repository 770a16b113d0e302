"""Presets change the settings that they name, and no others."""

import shutil
from pathlib import Path

import pytest
import yaml

from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.params import load_params
from glioseg.params.presets import apply_preset, detect_preset, load_presets
from glioseg.params.pretraining import load_pretraining
from glioseg.params.settings_file import ParamsError
from tests.helpers.projects import ROOT


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_all_presets_name_the_same_settings():
    names = [{(s, key) for s in preset for key in preset[s]} for preset in load_presets().values()]
    assert all(other == names[0] for other in names)


def test_the_repository_is_set_to_demo(path):
    assert apply_preset("demo", path) == []
    assert path.read_text() == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize("name", ["seed", "brats", "adapt"])
def test_a_preset_and_back_restores_the_file(path, name):
    before = yaml.safe_load(path.read_text())
    changed = apply_preset(name, path)
    assert "network.base_filters" in changed
    params = load_params(path)
    assert params.network.base_filters == {"seed": 12, "brats": 32, "adapt": 24}[name]
    assert params.data == load_params(ROOT / "params.yaml").data
    assert path.read_text().count("#") == (ROOT / "params.yaml").read_text().count("#")
    assert set(apply_preset("demo", path)) == set(changed)
    assert yaml.safe_load(path.read_text()) == before


def test_preset_seed_has_the_settings_of_the_2018_system(path):
    apply_preset("seed", path)
    params = load_params(path)
    assert params.train.patch_shape == (160, 192, 160)
    assert (params.network.depth, params.network.heads, params.network.target) == (5, "normalised", "labels")
    assert (params.train.loss, params.train.monitor, params.train.patience) == ("seed", "val_loss", 10)
    assert (params.train.batch_size, params.train.epochs, params.train.tensorboard) == (1, 100, True)


def test_preset_adapt_has_the_network_of_the_built_in_model(path):
    apply_preset("adapt", path)
    built_in = Settings.load(builtin.FOLDER)
    network = load_params(path).network
    weights = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    assert network == weights.network.model_copy(update={"base_filters": 24})
    assert network.spacing_mm == built_in.spacing_mm


def test_the_user_s_settings_are_preserved(path):
    path.write_text(path.read_text().replace("source: phantom ", "source: folder  ").replace(
        "folder: null ", "folder: /scans"
    ).replace("cluster: processes ", "cluster: threads   "))  # fmt: skip
    apply_preset("brats", path)
    assert load_params(path).data.folder == Path("/scans")
    assert load_params(path).compute.cluster == "threads"


@pytest.mark.parametrize("name", list(load_presets()))
def test_a_preset_is_detected_only_if_all_its_settings_match(path, name):
    apply_preset(name, path)
    assert detect_preset(path) == name
    path.write_text(path.read_text().replace("cases: 56", "cases: 8"))  # no preset names it
    assert detect_preset(path) == name
    path.write_text(path.read_text().replace("patience: ", "patience: 1"))
    assert detect_preset(path) == "custom"


def test_a_preset_adds_settings_that_an_earlier_version_did_not_have(path):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("  phantom_share:")))
    assert load_params(path).train.phantom_share == 0.0
    assert "train.phantom_share" in apply_preset("adapt", path)
    assert load_params(path).train.phantom_share == 0.5


def test_an_unknown_preset_changes_nothing(path):
    before = path.read_text()
    with pytest.raises(ParamsError, match="preset: expected one of demo, seed, brats, adapt, got best"):
        apply_preset("best", path)
    assert path.read_text() == before


def test_a_duplicate_key_is_named(path):
    path.write_text(path.read_text() + "compute: {}\ncompute: {}\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: not YAML: .*found duplicate key"):
        apply_preset("demo", path)


def test_an_inconsistent_preset_is_not_written(path):
    two = path.read_text().replace("batch_size: 1 ", "batch_size: 2 ")
    path.write_text(two.replace("patches_per_case: 1", "patches_per_case: 2"))
    before = path.read_text()
    with pytest.raises(ParamsError, match=r"patches_per_case: .* divides batch_size 1, got 2"):
        apply_preset("seed", path)
    assert path.read_text() == before
