"""Stage crop stores voxels, or only the crop boxes, and prints which."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import crop
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, write_cohort
from glioseg.data.store.cropped_cases import open_cases

ROOT = Path(__file__).parents[2]
SHAPE = (12, 11, 10)
RAW, STORE = Path("data/raw"), Path("data/cropped")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an accepted and a rejected case."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    for name in ("good", "bad"):
        for role in ROLES:
            data = np.zeros(SHAPE, np.int16)
            data[2:9, 2:9, 2:9] = 2 if role == "seg" else rng.integers(1, 900, (7, 7, 7))
            write_volume(RAW / name / f"{name}_{role}.nii.gz", Volume(data, Grid(SHAPE, np.eye(4))))
    write_cohort(RAW / "cohort.csv", [Case(name, {}, LabelScheme.BRATS2021) for name in ("good", "bad")])
    report = {"cases": {"good": {"status": "accepted"}, "bad": {"status": "refused"}}}
    Path("reports/validation").mkdir(parents=True)
    Path("reports/validation/raw.json").write_text(json.dumps(report))
    return tmp_path


@pytest.mark.parametrize(
    ("on_the_fly", "files", "line"),
    [
        (False, 5, "crop: 1 cases stored at 1 mm and 2 mm in data/cropped"),
        (True, 1, "crop: 1 cases located for cropping on the fly in data/cropped"),
    ],
)
def test_cases_are_stored_or_located(
    on_the_fly: bool, files: int, line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["crop"] |= {"on_the_fly": on_the_fly, "spacings_mm": [1, 2]}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    crop.main()
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert [path.name for path in STORE.iterdir() if path.is_dir()] == ["good"]
    assert len(list((STORE / "good").iterdir())) == files
    (case,) = open_cases(STORE, ["good"], raw=RAW if on_the_fly else None)
    assert case.open(1)[0].shape == (9, 9, 9, 4)
