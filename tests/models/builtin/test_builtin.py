"""The built-in model: its files are intact, it is the default model, and it can be the first champion."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.old_names import COLUMNS, FIELDS, with_current_names
from glioseg.mlops.tracking.model_uri import CHAMPION, default_model, model_folder, weights_file
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.inference.loading import load_model
from glioseg.models.networks.weight_transfer import transfer_weights
from glioseg.params.pretraining import load_pretraining

ROOT = Path(__file__).parents[3]
NAMES = [builtin.ADDRESS, builtin.SYNTHETIC]
IDENTITY = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.autocrlf=false"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_its_published_checksum(name):
    folder = builtin.builtin_model(name)
    for line in (folder / builtin.CHECKSUM_FILE).read_text().splitlines():
        published, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == published
    assert {"model.keras", "settings.json", "card.md", "LICENSE", "pretraining.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6


def test_an_error_names_a_damaged_file(tmp_path, monkeypatch):
    copy = shutil.copytree(builtin.FOLDER, tmp_path / "model")
    monkeypatch.setattr(builtin, "FOLDER", copy)
    (copy / "settings.json").write_text("{}")
    with pytest.raises(
        GliosegError, match=r"settings\.json: differs from the file that glioseg was published"
    ):
        model_folder("builtin")


def test_a_clone_with_windows_line_endings_has_the_published_files(tmp_path):
    """`.gitattributes` holds against `core.autocrlf`."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    inside = builtin.FOLDER.relative_to(ROOT)
    shutil.copytree(builtin.FOLDER, source / inside, ignore=shutil.ignore_patterns("model.keras"))
    for name in (".gitattributes", "params.yaml", "Makefile"):
        shutil.copy(ROOT / name, source)
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", source, *IDENTITY, *words], check=True)
    subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", source, clone], check=True)
    files = [
        file.relative_to(source) for file in source.rglob("*") if file.is_file() and ".git" not in file.parts
    ]
    assert {(clone / file).read_bytes() == (source / file).read_bytes() for file in files} == {True}


def test_a_file_with_windows_line_endings_is_named(tmp_path, monkeypatch):
    copy = shutil.copytree(builtin.FOLDER, tmp_path / "model")
    monkeypatch.setattr(builtin, "FOLDER", copy)
    card = (copy / "card.md").read_bytes()
    (copy / "card.md").write_bytes(card.replace(b"\n", b"\r\n"))
    with pytest.raises(
        GliosegError, match=r"card\.md: expected line endings LF, got CRLF, .*; clone glioseg again$"
    ):
        builtin.builtin_model()


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_the_settings_of_the_repository(name):
    record = json.loads((builtin.folder_of(name) / "pretraining.json").read_text())
    recorded = with_current_names(record["settings"], FIELDS)
    plan = load_pretraining(ROOT / "pipelines/pretrain.yaml").model_dump(mode="json")
    trained = len(recorded["phases"])
    assert recorded["phases"] == plan["phases"][:trained]
    for section in ("stream", "validation", "network", "crop", "inference"):
        assert recorded[section] == plan[section]
    # A record is older than a setting that it lacks.
    assert recorded["train"] == {key: plan["train"][key] for key in recorded["train"]}
    real = [recorded["real"]["phase"]] if "real_cases" in record else []
    steps = [phase["epochs"] * phase["steps_per_epoch"] for phase in (*recorded["phases"], *real)]
    assert record["steps"] == sum(steps)
    assert len(record["trained"]) == len(steps)
    history = pd.read_csv(builtin.folder_of(name) / "history.csv").rename(columns=COLUMNS)
    assert history["phase"].max() == len(steps)
    if real:
        assert record["validation_dice"] == pytest.approx(
            np.mean([list(dice.values()) for dice in record["real_cases"]["dice"].values()])
        )
    else:  # of the last phase, since earlier phases had other validation cases
        last = history[history["phase"] == len(steps)]
        assert record["validation_dice"] == pytest.approx(last["val_dice"].max())


def test_no_real_case_is_in_the_training_of_the_synthetic_model():
    record = json.loads((builtin.SYNTHETIC_FOLDER / "pretraining.json").read_text())
    assert "real_cases" not in record


def test_the_default_in_an_empty_folder_is_the_builtin_model(tmp_path):
    assert default_model(ProjectStorage(tmp_path)) == "builtin"
    assert not list(tmp_path.iterdir())
    assert default_model(ProjectStorage(tmp_path, "postgresql://somewhere/else")) == CHAMPION


@pytest.mark.parametrize("name", NAMES)
def test_training_can_start_from_it(name):
    predictor = load_model(model_folder(name))
    other = keras.models.clone_model(predictor.models[0])
    other.set_weights([np.zeros_like(value) for value in other.get_weights()])
    assert not transfer_weights(other, weights_file(name)).skipped
    for ours, theirs in zip(other.get_weights(), predictor.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
