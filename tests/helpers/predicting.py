"""What tests of `glioseg predict` share: small scans, and a formula in the place of a model."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from glioseg import cli
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.mlops.registry import model_uri
from glioseg.models.inference import predictor
from glioseg.models.inference.predictor import Segmenter
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


def stand_in(monkeypatch):
    """Asked for models, `predict` gets a formula from now on; what it asked for is kept.

    `asked["look"]` may be set to another formula, `asked["settings"]` to other settings, and
    `asked["folder"]` to where the model lies.
    """
    asked = {}

    def load(folders):
        asked["folders"] = folders
        look = asked.get("look", Formula(everywhere))
        return Segmenter((look,), asked.get("settings", make_settings()))

    monkeypatch.setattr(model_uri, "default_model", lambda lab: model_uri.CHAMPION)
    monkeypatch.setattr(model_uri, "pinned", lambda model: model)
    monkeypatch.setattr(
        model_uri, "model_folder", lambda model: asked.get("folder", Path(f"folder of {model}"))
    )
    monkeypatch.setattr(predictor, "load_ensemble", load)
    return asked


def run(*words):
    return CliRunner().invoke(cli.app, ["predict", *map(str, words)])
