"""Training on crops on the fly gives the same model as training on stored crops."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import crop
import train
import validate
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, write_cohort

ROOT = Path(__file__).parents[2]
SHAPE = (14, 14, 12)
NAMES = ("a", "b", "c")
TINY = {
    "network": {"base_filters": 2, "depth": 2, "spacing_mm": 1},
    "train": {"epochs": 2, "steps_per_epoch": 1, "patch_shape": [8, 8, 8], "precision": "float32"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three accepted cases, split and with no study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    raw, rng = Path("data/raw"), np.random.default_rng(3)
    for name in NAMES:
        for role in ROLES:
            data = np.zeros(SHAPE, np.uint8 if role == "seg" else np.int16)
            data[2:11, 2:12, 2:10] = 0 if role == "seg" else rng.integers(100, 900, (9, 10, 8))
            if role == "seg":
                data[4:9, 4:9, 4:8], data[5:8, 5:8, 5:7], data[6, 6, 6] = 2, 4, 1
            write_volume(
                raw / name / f"{name}_{role}.nii.gz", Volume(data, Grid(SHAPE, np.diag([-1.0, -1, 1, 1])))
            )
    write_cohort(raw / "cohort.csv", [Case(name, {}, LabelScheme.BRATS2021) for name in NAMES])
    report = {"cases": {name: {"status": "accepted"} for name in NAMES}}
    write_json(Path("reports/validation/raw.json"), report)
    write_json(Path("data/splits.json"), {"train": ["a", "b"], "validation": ["c"], "test": [], "folds": []})
    write_json(Path("reports/tune/best_params.json"), {})
    return tmp_path


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def history(*, on_the_fly: bool, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Run the stages crop, validate_cropped and train; returns the epochs without their seconds."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in TINY.items():
        params[section] |= values
    params["crop"] |= {"on_the_fly": on_the_fly, "spacings_mm": [1]}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    crop.main()
    monkeypatch.setattr(sys, "argv", ["validate.py", "cropped"])
    validate.main()
    train.main()
    return pd.read_csv("reports/train/history.csv").drop(columns="seconds")


def test_training_on_the_fly_gives_the_model_of_the_store(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = history(on_the_fly=False, monkeypatch=monkeypatch)
    assert list(Path("data/cropped").rglob("*.b2nd"))
    fresh = history(on_the_fly=True, monkeypatch=monkeypatch)
    assert not list(Path("data/cropped").rglob("*.b2nd"))
    assert len(fresh) == 2
    pd.testing.assert_frame_equal(fresh, stored, check_exact=True)
    assert [path.name for path in Path("models/trained").iterdir()] == ["model.keras"]
