"""Crops from raw scans have the same voxels as the store, and no voxels stay in memory."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, read_cohort, write_cohort
from glioseg.data.quality.crop_validation import measure_store
from glioseg.data.store.cropped_cases import MANIFEST, OnTheFlyCase, StoredCase, StoreError, open_cases
from glioseg.data.store.cropped_store import store_cohort
from glioseg.data.store.cropping import CropError
from glioseg.data.store.grids import GridError

SHAPE = (13, 16, 11)
LPS = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], float)
RSA = np.array([[1, 0, 0, -90], [0, 0, 1, -126], [0, 1, 0, -72], [0, 0, 0, 1]], float)
"""Axes point to the right, head and front; LPS permutes and flips them."""


def write_raw(raw: Path, name: str, affine: np.ndarray, label_dtype: type) -> Case:
    """Write a brain with all labels of BraTS 2021, in a corner of its grid: the crop is off-centre."""
    rng = np.random.default_rng(len(name))
    brain = np.zeros(SHAPE, bool)
    brain[2:11, 3:14, 1:8] = rng.random((9, 11, 7)) < 0.9
    seg = np.zeros(SHAPE, label_dtype)
    seg[4:9, 6:11, 2:6], seg[5:8, 7:10, 3:5], seg[6, 8, 4] = 2, 4, 1
    for role in ROLES:
        data = seg if role == "seg" else (rng.integers(-50, 900, SHAPE) * brain).astype(np.int16)
        write_volume(raw / name / f"{name}_{role}.nii.gz", Volume(data, Grid(SHAPE, affine)))
    return Case(name, {}, LabelScheme.BRATS2021, grade="LGG", survival_days=211.0)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw cohort of three cases: as in BraTS, in another orientation, with floating-point labels."""
    folder = tmp_path_factory.mktemp("raw")
    cases = [
        write_raw(folder, "lps", LPS, np.uint8),
        write_raw(folder, "reoriented", RSA, np.uint8),
        write_raw(folder, "float_labels", LPS, np.float32),
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


@pytest.mark.parametrize("name", ["lps", "reoriented", "float_labels"])
@pytest.mark.parametrize("spacing_mm", [1, 2])
def test_raw_scans_and_store_give_the_same_bytes(
    name: str, spacing_mm: int, raw: Path, stored: Path, placed: Path
) -> None:
    (fresh,), (kept,) = open_cases(placed, [name], raw=raw), open_cases(stored, [name], raw=None)
    assert isinstance(fresh, OnTheFlyCase)
    assert isinstance(kept, StoredCase)
    for array, stored_array in zip(fresh.open(spacing_mm), kept.open(spacing_mm), strict=True):
        expected = stored_array[:]
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        assert array[:].tobytes() == expected.tobytes()
    assert (fresh.name, fresh.grade, fresh.survival_days) == (kept.name, kept.grade, kept.survival_days)
    assert fresh.placement.box == kept.placement.box


def test_a_case_keeps_no_voxels_after_it_was_opened(raw: Path, placed: Path) -> None:
    (case,) = open_cases(placed, ["reoriented"], raw=raw)
    before = vars(case).copy()
    case.open(1)
    assert vars(case) == before
    assert len(pickle.dumps(case)) < np.prod(SHAPE)


def test_the_store_then_contains_only_placements(placed: Path, stored: Path) -> None:
    assert {path.name for path in placed.rglob("*") if path.is_file()} == {"manifest.csv", "placement.json"}
    assert (placed / MANIFEST).read_bytes() == (stored / MANIFEST).read_bytes()


def test_statistics_of_the_store_are_the_same(raw: Path, placed: Path, stored: Path, tmp_path: Path) -> None:
    fresh = measure_store(placed, spacings_mm=(1, 2), raw=raw, records=tmp_path / "placed")
    assert fresh == measure_store(stored, spacings_mm=(1, 2), raw=None, records=tmp_path / "stored")
    assert all(row.problem is None for row in fresh)


def test_the_error_names_a_missing_scan(raw: Path, placed: Path) -> None:
    (case,) = open_cases(placed, ["lps"], raw=raw)
    assert isinstance(case, OnTheFlyCase)
    files = {role: file for role, file in case.case.files.items() if role != "t2"}
    with pytest.raises(CropError, match="lps/t2: expected a raw scan to crop, got none"):
        replace(case, case=replace(case.case, files=files)).open(1)


def test_a_scan_on_another_grid_than_the_crop_is_rejected(raw: Path, placed: Path, tmp_path: Path) -> None:
    (case,) = open_cases(placed, ["lps"], raw=raw)
    assert isinstance(case, OnTheFlyCase)
    other = tmp_path / "lps_flair.nii.gz"
    write_volume(other, Volume(np.ones((13, 16, 12), np.int16), Grid((13, 16, 12), LPS)))
    changed = replace(case, case=replace(case.case, files=case.case.files | {MODALITIES[3]: other}))
    with pytest.raises(GridError, match=r"lps/flair: expected shape \(13, 16, 11\), got \(13, 16, 12\)"):
        changed.open(1)


def test_the_error_names_cases_that_the_raw_cohort_lacks(placed: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort.csv", [])
    with pytest.raises(StoreError, match=r"cohort\.csv: expected every case .*missing \['lps', 'reoriented"):
        open_cases(placed, ["lps"], raw=tmp_path)
