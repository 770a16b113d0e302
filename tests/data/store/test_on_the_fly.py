"""Both data paths give the same voxels, and the second one keeps nothing."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, read_cohort, write_cohort
from glioseg.data.quality.store_statistics import measure_store
from glioseg.data.store.cropped_store import MANIFEST, StoredCase, StoreError, open_cases, store_cohort
from glioseg.data.store.cropping import CropError
from glioseg.data.store.grids import GridError
from glioseg.data.store.on_the_fly import RawCase

SHAPE = (13, 16, 11)
LPS = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], float)
RSA = np.array([[1, 0, 0, -90], [0, 0, 1, -126], [0, 1, 0, -72], [0, 0, 0, 1]], float)
"""Axes to the right, head and front: to LPS they are permuted and flipped."""


def write_raw(raw: Path, name: str, affine: np.ndarray, label_dtype: type) -> Case:
    """A brain in a corner of its grid, so that the crop is not centred, with all labels of BraTS 2021."""
    rng = np.random.default_rng(len(name))
    brain = np.zeros(SHAPE, bool)
    brain[2:11, 3:14, 1:8] = rng.random((9, 11, 7)) < 0.9
    seg = np.zeros(SHAPE, label_dtype)
    seg[4:9, 6:11, 2:6], seg[5:8, 7:10, 3:5], seg[6, 8, 4] = 2, 4, 1
    for role in ROLES:
        data = seg if role == "seg" else (rng.integers(-50, 900, SHAPE) * brain).astype(np.int16)
        write_volume(raw / name / f"{name}_{role}.nii.gz", Volume(data, Grid(SHAPE, affine)))
    return Case(name, {}, Scheme.BRATS2021, grade="LGG", survival_days=211.0)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw cohort of three cases: as BraTS has them, on another orientation, with floating labels."""
    folder = tmp_path_factory.mktemp("raw")
    cases = [
        write_raw(folder, "lps", LPS, np.uint8),
        write_raw(folder, "turned", RSA, np.uint8),
        write_raw(folder, "floating", LPS, np.float32),
    ]
    write_cohort(folder / "cohort.csv", cases)
    return folder


def crop_all(folder: Path, raw: Path, spacings_mm: tuple[int, ...]) -> Path:
    cases = read_cohort(raw / "cohort.csv")
    records = folder.with_name(f"{folder.name}-records")
    store_cohort(folder, cases, margin_vox=1, spacings_mm=spacings_mm, records=records)
    return folder


@pytest.fixture(scope="session")
def stored(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_all(tmp_path_factory.mktemp("stored"), raw, (1, 2))


@pytest.fixture(scope="session")
def placed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_all(tmp_path_factory.mktemp("placed"), raw, ())


@pytest.mark.parametrize("name", ["lps", "turned", "floating"])
@pytest.mark.parametrize("spacing_mm", [1, 2])
def test_both_paths_give_the_same_bytes(
    name: str, spacing_mm: int, raw: Path, stored: Path, placed: Path
) -> None:
    (ours,), (theirs,) = open_cases(placed, [name], raw=raw), open_cases(stored, [name], raw=None)
    assert isinstance(ours, RawCase)
    assert isinstance(theirs, StoredCase)
    for fresh, kept in zip(ours.open(spacing_mm), theirs.open(spacing_mm), strict=True):
        whole = kept[:]
        assert (fresh.shape, fresh.dtype) == (whole.shape, whole.dtype)
        assert fresh[:].tobytes() == whole.tobytes()
    assert (ours.name, ours.grade, ours.survival_days) == (theirs.name, theirs.grade, theirs.survival_days)
    assert ours.placement.box == theirs.placement.box


def test_an_opened_case_keeps_no_voxel(raw: Path, placed: Path) -> None:
    (case,) = open_cases(placed, ["turned"], raw=raw)
    before = vars(case).copy()
    case.open(1)
    assert vars(case) == before
    assert len(pickle.dumps(case)) < np.prod(SHAPE)


def test_the_store_then_holds_placements_alone(placed: Path, stored: Path) -> None:
    assert {path.name for path in placed.rglob("*") if path.is_file()} == {"manifest.csv", "placement.json"}
    assert (placed / MANIFEST).read_bytes() == (stored / MANIFEST).read_bytes()


def test_the_survey_measures_what_training_would_see(
    raw: Path, placed: Path, stored: Path, tmp_path: Path
) -> None:
    fresh = measure_store(placed, spacings_mm=(1, 2), raw=raw, records=tmp_path / "placed")
    assert fresh == measure_store(stored, spacings_mm=(1, 2), raw=None, records=tmp_path / "stored")
    assert all(row.problem is None for row in fresh)


def test_a_scan_that_is_gone_is_named(raw: Path, placed: Path) -> None:
    (case,) = open_cases(placed, ["lps"], raw=raw)
    assert isinstance(case, RawCase)
    files = {role: file for role, file in case.case.files.items() if role != "t2"}
    with pytest.raises(CropError, match="lps/t2: expected a raw scan to crop, got none"):
        replace(case, case=replace(case.case, files=files)).open(1)


def test_a_scan_on_another_grid_than_the_crop_is_refused(raw: Path, placed: Path, tmp_path: Path) -> None:
    (case,) = open_cases(placed, ["lps"], raw=raw)
    assert isinstance(case, RawCase)
    other = tmp_path / "lps_flair.nii.gz"
    write_volume(other, Volume(np.ones((13, 16, 12), np.int16), Grid((13, 16, 12), LPS)))
    changed = replace(case, case=replace(case.case, files=case.case.files | {MODALITIES[3]: other}))
    with pytest.raises(GridError, match=r"lps/flair: expected shape \(13, 16, 11\), got \(13, 16, 12\)"):
        changed.open(1)


def test_a_case_that_the_raw_cohort_lacks_is_named(placed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort.csv", [])
    with pytest.raises(StoreError, match=r"cohort\.csv: expected every case .* missing \['lps', 'turned'"):
        open_cases(placed, ["lps"], raw=tmp_path)
