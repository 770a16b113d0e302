"""The model that comes with glioseg: whole, found where none is registered, and the first champion."""

import hashlib
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import glioseg
from glioseg.core.errors import GliosegError
from glioseg.mlops.provenance.builtin_record import keep_packaged
from glioseg.mlops.provenance.lineage import chain
from glioseg.mlops.provenance.record import open_version
from glioseg.mlops.registry.bootstrap import register_builtin
from glioseg.mlops.tracking.model_uri import CHAMPION, default_model, model_folder, weights_file
from glioseg.mlops.tracking.storage import Lab
from glioseg.models import builtin
from glioseg.models.inference.predictor import load_model
from glioseg.models.networks.weight_transfer import take_weights
from glioseg.params.pretraining import load_pretraining

ROOT = Path(__file__).parents[4]
CASES = [f"case {number}" for number in range(6)]


def test_every_file_is_as_it_was_published():
    folder = builtin.builtin_model()
    for line in (folder / builtin.SUMS).read_text().splitlines():
        published, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == published
    assert {"model.keras", "settings.json", "card.md", "LICENSE", "pretraining.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    copy = shutil.copytree(builtin.FOLDER, tmp_path / "model")
    monkeypatch.setattr(builtin, "FOLDER", copy)
    (copy / "settings.json").write_text("{}")
    with pytest.raises(GliosegError, match=r"settings\.json: not the file that glioseg was published with"):
        model_folder("builtin")


def test_its_record_is_of_the_settings_that_the_repository_holds():
    record = json.loads((builtin.FOLDER / "pretraining.json").read_text())
    plan = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    assert record["settings"] == plan.model_dump(mode="json")
    assert record["steps"] == sum(piece.epochs * piece.steps_per_epoch for piece in plan.pieces)
    history = pd.read_csv(builtin.FOLDER / "history.csv")
    last = history[history["piece"] == len(plan.pieces)]  # pieces before it met other patients
    assert record["validation_dice"] == pytest.approx(last["val_dice"].max())


def test_an_empty_folder_has_the_builtin_model_and_nothing_is_made_there(tmp_path):
    assert default_model(Lab(tmp_path)) == "builtin"
    assert not list(tmp_path.iterdir())
    assert default_model(Lab(tmp_path, "postgresql://somewhere/else")) == CHAMPION


def test_training_can_start_from_it():
    segmenter = load_model(model_folder("builtin"))
    other = keras.models.clone_model(segmenter.models[0])
    other.set_weights([np.zeros_like(value) for value in other.get_weights()])
    assert not take_weights(other, weights_file("builtin")).left
    for ours, theirs in zip(other.get_weights(), segmenter.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def judged(folder):
    """A table as `evaluate_cases` gives it, without the minutes that it takes."""
    assert folder == builtin.FOLDER
    numbers = {"dice_wt": 0.8, "dice_tc": 0.7, "dice_et": 0.6}
    errors = {f"calibration_error_{region}": 0.01 for region in ("wt", "tc", "et")}
    return pd.DataFrame({"case": CASES} | numbers | errors), {"case_s": 1.0, "memory_gb": 1.0}


def register_it(shop):
    return register_builtin(
        shop.client,
        params=shop.rules(),
        package=Path(glioseg.__file__).parent,
        cases=CASES,
        judge=judged,
        keep=keep_packaged,
    )


@pytest.fixture
def registered(shop):
    """A shop whose registry begins with the built-in model."""
    assert register_it(shop) == "version 1 is the champion: the first champion"
    return shop


def test_it_is_version_1_once_and_the_champion(registered):
    assert registered.aliases == {"champion": 1}
    assert register_it(registered) == "version 1 is this model already; the champion is version 1"
    (only,) = registered.client.search_model_versions(f"name = '{registered.name}'")
    assert int(only.version) == 1


def test_its_chain_tells_how_it_was_trained(registered):
    kept = open_version(registered.client, f"models:/{registered.name}/1")
    links = {link.name: link for link in chain(registered.client, kept, root=ROOT)}
    assert list(links) == [
        "registered version",
        "kept files",
        "training",
        "data",
        "validation data",
        "settled",
        "git commit",
        "environment",
    ]
    missing = {name for name, link in links.items() if link.missing}
    assert missing <= {"git commit"}  # a shallow clone has not every commit
    plan = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    assert f"seed {plan.stream.seed}" in links["data"].value
    record = json.loads((builtin.FOLDER / builtin.RECORD).read_text())
    assert links["git commit"].value.startswith(record["trained"][-1]["sha"]) or missing
    assert record["trained"][-1]["environment"] in links["environment"].value
    assert links["training"].value.startswith(
        f"{sum(p.epochs * p.steps_per_epoch for p in plan.pieces)} steps"
    )
