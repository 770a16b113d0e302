"""The training of the built-in model: piece by piece, and into the package with the record of it."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from glioseg.core.fingerprint import files_fingerprint
from glioseg.mlops import pretraining
from glioseg.mlops.pretraining import publish, train_pieces
from glioseg.models import builtin
from glioseg.models.networks.weight_transfer import take_weights
from glioseg.models.selection import corruption_study
from glioseg.models.selection.corruptions import KINDS
from glioseg.params.pretraining import load_pretraining

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan():
    """The repository's plan in small: a network of seconds, and few patients."""
    own = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    small = {"patch_shape": (32, 32, 32), "precision": "float32"}
    piece = own.pieces[-1].model_copy(update={"epochs": 1, "steps_per_epoch": 2})
    return own.model_copy(
        update={
            "stream": own.stream.model_copy(update={"cases": 2}),
            "validation": tuple(part.model_copy(update={"cases": 1}) for part in own.validation[:1]),
            "network": own.network.model_copy(update={"depth": 3}),
            "train": own.train.model_copy(update=small),
            "inference": own.inference.model_copy(update={"mirror": False}),
            "pieces": tuple(
                piece.model_copy(update={"seed": seed, "base_filters": filters})
                for seed, filters in ((1, 2), (2, 4))
            ),
        }
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose model is to be replaced, in a folder with what `publish` reads."""
    folder = shutil.copytree(builtin.FOLDER, tmp_path / "package" / "model")
    monkeypatch.setattr(builtin, "FOLDER", folder)
    for name in ("requirements.lock", "contract.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return folder


def weights_of(trained):
    return keras.saving.load_model(trained.weights).get_weights()


def test_pieces_are_trained_once_each_from_the_one_before_and_told_in_the_package(
    plan, package, common_lab, monkeypatch
):
    started = []
    monkeypatch.setattr(corruption_study, "SPOILT", len(KINDS))  # one spoilt copy of each kind
    monkeypatch.setattr(
        "glioseg.models.training.fit.take_weights",
        lambda model, file: started.append((file, take_weights(model, file))) or "taken",
    )
    pieces = train_pieces(plan, common_lab)
    ((file, transfer),) = started
    assert (file, transfer.left) == (pieces[0].weights, {})
    first, second = map(weights_of, pieces)
    assert (first[0].shape[-1], second[0].shape[-1]) == (2, 4)  # the second piece is twice as wide
    assert train_pieces(plan, common_lab) == pieces  # nothing is left to do
    assert len(started) == 1

    publish(plan, pieces)
    assert builtin.builtin_model() == package
    for ours, theirs in zip(
        keras.saving.load_model(package / "model.keras").get_weights(), second, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))
    record = json.loads((package / builtin.RECORD).read_text())
    assert (record["steps"], len(record["trained"])) == (4, 2)
    assert record["trained"][0]["environment"] == files_fingerprint([pretraining.LOCK], folder=Path())
    assert record["calibrated"]["computed_by"] == f"tensorflow {version('tensorflow')}, CPU"
    assert pd.read_csv(package / builtin.HISTORY)["piece"].tolist() == [1, 2]
    assert (package / builtin.CARD).exists()
