"""Facts of a small case, against arithmetic that a reader can redo."""

from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import Scheme
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.case_io import Scan
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.cohort_statistics import measure_case
from glioseg.data.quality.volume_statistics import VolumeRow, measure_scans

SHAPE = (3, 4, 5)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def measure(
    folder: Path, volumes: dict[str, np.ndarray], affine: np.ndarray = AFFINE
) -> dict[str, VolumeRow]:
    files = {role: folder / f"case_{role}.nii.gz" for role in volumes}
    for role, data in volumes.items():
        write_volume(files[role], Volume(data, Grid(SHAPE, affine if role == "t2" else AFFINE)))
    return {row.role: row for row in measure_case(Case("case", files, Scheme.BRATS2021))}


def image(*values: float, dtype: type = np.int16) -> np.ndarray:
    data = np.zeros(SHAPE, dtype)
    data[0, 0, : len(values)] = values
    return data


def test_an_image(tmp_path: Path) -> None:
    row = measure(tmp_path, {"t1": image(2, 4, -6)})["t1"]
    assert (row.shape, row.spacing_mm, row.orientation, row.dtype) == (SHAPE, (1.0, 1.0, 2.0), "LPS", "int16")
    assert (row.minimum, row.maximum, row.nan_vox, row.infinite_vox) == (-6, 4, 0, 0)
    assert row.brain_fraction == 3 / 60
    # Mean of 2, 4, -6 is 0; the mean of their squares is 56 / 3.
    assert row.brain_deviation == pytest.approx((56 / 3) ** 0.5)
    assert row.labels is None


def test_not_finite_voxels_are_counted_and_left_out(tmp_path: Path) -> None:
    row = measure(tmp_path, {"t1": image(np.nan, np.inf, -np.inf, 3, dtype=np.float32)})["t1"]
    assert (row.nan_vox, row.infinite_vox, row.minimum, row.maximum) == (1, 2, 0, 3)
    assert row.brain_fraction == 1 / 60


def test_a_segmentation(tmp_path: Path) -> None:
    rows = measure(
        tmp_path, {"t1": image(5, 5), "t2": image(0, 0, 5), "seg": image(4, 0, 1, 2, dtype=np.float32)}
    )
    assert rows["seg"].labels == (0, 1, 2, 4)
    # Labels lie on voxels 0, 2 and 3; t1 sees 0 and 1, t2 sees 2: one is outside.
    assert (rows["seg"].tumour_vox, rows["seg"].outside_vox) == (3, 1)
    assert rows["seg"].brain_fraction is None


def test_an_affine_is_compared_with_the_first_image(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[1, 3] = 0.25
    rows = measure(tmp_path, {"t1": image(1), "t2": image(2), "seg": image(0, dtype=np.uint8)}, moved)
    assert [row.affine_deviation for row in rows.values()] == [0, 0.25, 0]


def test_the_first_image_is_t1_in_whatever_order_scans_come() -> None:
    grids = {"t2": 0.0, "flair": 0.25, "t1": 0.5}
    scans = {
        role: Scan(role, Volume(image(1), Grid(SHAPE, AFFINE + np.diag([0.0, 0, shift, 0]))))
        for role, shift in grids.items()
    }
    rows = measure_scans(Case("case", {}, Scheme.BRATS2021), scans)
    assert {row.role: row.affine_deviation for row in rows} == {"t2": 0.5, "flair": 0.25, "t1": 0}


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    (row,) = measure_case(Case("case", {"t1": tmp_path / "case_t1.nii.gz"}, Scheme.BRATS2021))
    assert row.problem == "not readable: No such file or directory"
