"""A project in which single stages run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from glioseg.core.geometry import Box
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, write_volume
from glioseg.data.cohort.cases import Case, write_cohort
from glioseg.data.store.cropped_store import write_case
from glioseg.data.store.cropping import Placement
from tests.helpers.stages import GRID, ROOT, SHAPE, SPLITS, TINY, write_json


@pytest.fixture(scope="session")
def stage_cohort(tmp_path_factory):
    """A project folder with cases whose tumour is a bright block, as `acquire` and `crop` write them."""
    home, cases = tmp_path_factory.mktemp("cohort"), []
    for index, name in enumerate("abcd"):
        rng = np.random.default_rng(index)
        labels = np.zeros(SHAPE, np.uint8)
        labels[3:9, 3:9, 3:8], labels[4:8, 4:8, 4:7], labels[5:7, 5:7, 5:6] = 2, 3, 1
        image = (100 + 50 * labels + rng.integers(0, 5, SHAPE)).astype(np.int16)
        stacked = np.repeat(image[..., np.newaxis], 4, axis=-1).astype(np.float32) / 100 - 1
        place = Placement(GRID, Box((0, 0, 0), SHAPE))
        write_case(home / "data" / "cropped" / name, stacked, labels, place, spacings_mm=(1,))
        files = {role: home / "data/raw" / name / f"{name}_{role}.nii.gz" for role in (*MODALITIES, "seg")}
        for role, file in files.items():
            seg = np.where(labels == 3, 4, labels).astype(np.uint8)
            write_volume(file, Volume(seg if role == "seg" else image, GRID))
        cases.append(Case(name, files, LabelScheme.BRATS2021))
    write_cohort(home / "data" / "raw" / "cohort.csv", cases)
    manifest = pd.DataFrame({"case": list("abcd"), "patient": list("abcd"), "grade": "", "survival_days": ""})
    manifest.to_csv(home / "data" / "cropped" / "manifest.csv", index=False)
    (home / "data" / "splits.json").write_text(json.dumps(SPLITS))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in TINY.items():
        params[section] |= values
    params["register"]["builtin"] = False  # these tests count their own versions
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    return home


@pytest.fixture
def stage_project(stage_cohort, tmp_path, monkeypatch):
    """A copy of the small cohort, as the working directory."""
    shutil.copytree(stage_cohort, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_json(Path("reports/tune/best_params.json"), {"dropout": 0.2})
    return tmp_path
