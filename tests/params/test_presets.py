"""Presets change what they name and nothing else."""

import shutil
from pathlib import Path

import pytest
import yaml

from glioseg.core.settings_file import ParamsError
from glioseg.params import load_params
from glioseg.params.presets import apply_preset, preset_of, presets

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_every_preset_makes_the_same_settings():
    names = [{(s, key) for s in preset for key in preset[s]} for preset in presets().values()]
    assert names[0] == names[1] == names[2]


def test_the_repository_is_set_to_demo(path):
    assert apply_preset("demo", path) == []
    assert path.read_text() == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize("name", ["seed", "brats"])
def test_there_and_back_leaves_the_file_as_it_was(path, name):
    before = yaml.safe_load(path.read_text())
    changed = apply_preset(name, path)
    assert "network.base_filters" in changed
    params = load_params(path)
    assert params.network.base_filters == {"seed": 12, "brats": 32}[name]
    assert params.data == load_params(ROOT / "params.yaml").data
    assert path.read_text().count("#") == (ROOT / "params.yaml").read_text().count("#")
    assert set(apply_preset("demo", path)) == set(changed)
    assert yaml.safe_load(path.read_text()) == before


def test_the_seed_is_the_seed_s_own_set_up(path):
    apply_preset("seed", path)
    params = load_params(path)
    assert params.train.patch_shape == (160, 192, 160)
    assert (params.network.depth, params.network.heads, params.network.target) == (5, "normalised", "labels")
    assert (params.train.loss, params.train.monitor, params.train.patience) == ("seed", "val_loss", 10)
    assert (params.train.batch_size, params.train.epochs, params.train.tensorboard) == (1, 100, True)


def test_a_user_s_own_settings_stay(path):
    path.write_text(path.read_text().replace("source: phantom ", "source: folder  ").replace(
        "folder: null ", "folder: /scans"
    ).replace("cluster: processes ", "cluster: threads   "))  # fmt: skip
    apply_preset("brats", path)
    assert load_params(path).data.folder == Path("/scans")
    assert load_params(path).compute.cluster == "threads"


@pytest.mark.parametrize("name", list(presets()))
def test_settings_are_told_to_be_a_preset_only_where_all_of_it_stands(path, name):
    apply_preset(name, path)
    assert preset_of(path) == name
    path.write_text(path.read_text().replace("cases: 56", "cases: 8"))  # no preset names it
    assert preset_of(path) == name
    path.write_text(path.read_text().replace("patience: ", "patience: 1"))
    assert preset_of(path) == "custom"


def test_an_unknown_preset_changes_nothing(path):
    before = path.read_text()
    with pytest.raises(ParamsError, match="preset: expected one of demo, seed, brats, got best"):
        apply_preset("best", path)
    assert path.read_text() == before


def test_a_key_that_stands_twice_is_named(path):
    path.write_text(path.read_text() + "compute: {}\ncompute: {}\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: not YAML: .*found duplicate key"):
        apply_preset("demo", path)


def test_a_preset_that_would_not_fit_is_not_written(path):
    path.write_text(path.read_text().replace("folds: 5", "folds: 4"))
    before = path.read_text()
    with pytest.raises(ParamsError, match=r"train\.folds: expected 1 or split\.folds 4, got 5"):
        apply_preset("brats", path)
    assert path.read_text() == before
