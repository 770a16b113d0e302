"""Shared by tests of `glioseg predict`: small scans, and a formula in place of a network."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from glioseg import cli
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.mlops.tracking import model_uri
from glioseg.models.inference import loading
from glioseg.models.inference.predictor import Predictor
from tests.helpers.models import Formula, everywhere, make_settings

GRID = Grid((9, 8, 7), np.diag([1.0, 1, 2, 1]))


def make_scan(seed=0):
    scan = np.zeros(GRID.shape, np.int16)
    # 180 voxels of 2 mm³: 0.36 ml
    scan[2:8, 1:7, 1:6] = np.random.default_rng(seed).integers(10, 20, (6, 6, 5))
    return scan


def write_scans(folder, name, modalities):
    for seed, modality in enumerate(modalities):
        write_volume(folder / name / f"{name}_{modality}.nii.gz", Volume(make_scan(seed), GRID))


def use_formula(monkeypatch):
    """Make `predict` load a formula in place of any model, as the returned dictionary configures.

    Set "formula" to another formula, "settings" to other settings, and "folder" to the folder of the model;
    "folders" are the folders that were loaded.
    """
    model = {}

    def load(folders):
        model["folders"] = folders
        formula = model.get("formula", Formula(everywhere))
        return Predictor((formula,), model.get("settings", make_settings()))

    monkeypatch.setattr(model_uri, "default_model", lambda storage: model_uri.CHAMPION)
    monkeypatch.setattr(model_uri, "resolve_alias", lambda address: address)
    monkeypatch.setattr(
        model_uri, "model_folder", lambda address: model.get("folder", Path(f"folder of {address}"))
    )
    monkeypatch.setattr(loading, "load_ensemble", load)
    return model


def run(*words):
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])
