"""Statistics of small volumes, against theory and arithmetic that a reader can redo."""

from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, Scan, open_scans
from glioseg.data.quality.volume_statistics import (
    VolumeStatistics,
    detail,
    measure_image_quality,
    measure_scans,
)

SHAPE = (3, 4, 5)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def measure(
    folder: Path, volumes: dict[str, np.ndarray], affine: np.ndarray = AFFINE
) -> dict[str, VolumeStatistics]:
    files = {role: folder / f"case_{role}.nii.gz" for role in volumes}
    for role, data in volumes.items():
        write_volume(files[role], Volume(data, Grid(SHAPE, affine if role == "t2" else AFFINE)))
    case = Case("case", files, LabelScheme.BRATS2021)
    return {volume.role: volume for volume in measure_scans(case, open_scans(case, ROLES))}


def image(*values: float, dtype: type = np.int16) -> np.ndarray:
    data = np.zeros(SHAPE, dtype)
    data[0, 0, : len(values)] = values
    return data


def test_an_image(tmp_path: Path) -> None:
    t1 = measure(tmp_path, {"t1": image(2, 4, -6)})["t1"]
    assert (t1.shape, t1.spacing_mm, t1.orientation, t1.dtype) == (SHAPE, (1.0, 1.0, 2.0), "LPS", "int16")
    assert (t1.minimum, t1.maximum, t1.nan_vox, t1.infinite_vox) == (-6, 4, 0, 0)
    assert t1.brain_fraction == 3 / 60
    # Mean of 2, 4, -6 is 0; the mean of their squares is 56 / 3.
    assert t1.brain_deviation == pytest.approx((56 / 3) ** 0.5)
    assert t1.labels is None


def test_voxels_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    t1 = measure(tmp_path, {"t1": image(np.nan, np.inf, -np.inf, 3, dtype=np.float32)})["t1"]
    assert (t1.nan_vox, t1.infinite_vox, t1.minimum, t1.maximum) == (1, 2, 0, 3)
    assert t1.brain_fraction == 1 / 60


def test_a_segmentation(tmp_path: Path) -> None:
    volumes = {"t1": image(5, 5), "t2": image(0, 0, 5), "seg": image(4, 0, 1, 2, dtype=np.float32)}
    seg = measure(tmp_path, volumes)["seg"]
    assert seg.labels == (0, 1, 2, 4)
    # Labels are at voxels 0, 2 and 3; t1 covers 0 and 1, t2 covers 2: one label is outside.
    assert (seg.tumour_vox, seg.outside_vox, seg.outside_mm) == (3, 1, 2)  # the spacing is 2 mm
    assert seg.brain_fraction is None


def test_an_affine_is_compared_with_the_first_image(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[1, 3] = 0.25
    found = measure(tmp_path, {"t1": image(1), "t2": image(2), "seg": image(0, dtype=np.uint8)}, moved)
    assert [volume.affine_deviation for volume in found.values()] == [0, 0.25, 0]


def test_the_first_image_is_t1_in_any_order_of_scans() -> None:
    shifts = {"t2": 0.0, "flair": 0.25, "t1": 0.5}
    scans = {
        role: Scan(role, Volume(image(1), Grid(SHAPE, AFFINE + np.diag([0.0, 0, shift, 0]))))
        for role, shift in shifts.items()
    }
    found = measure_scans(Case("case", {}, LabelScheme.BRATS2021), scans)
    assert {volume.role: volume.affine_deviation for volume in found} == {"t2": 0.5, "flair": 0.25, "t1": 0}


def test_a_missing_file_gives_its_problem(tmp_path: Path) -> None:
    case = Case("case", {"t1": tmp_path / "case_t1.nii.gz"}, LabelScheme.BRATS2021)
    (volume,) = measure_scans(case, open_scans(case, ROLES))
    assert volume.problem == "not readable: No such file or directory"


def quality(image: np.ndarray) -> dict:
    return measure_image_quality(image, image[image != 0])


def test_range_and_peak_of_evenly_spread_intensities() -> None:
    image = np.linspace(1, 1001, 30**3).reshape(30, 30, 30)
    found = quality(image)
    # Percentiles 0.5 and 99.5 of 1 to 1001 are 6 and 996.
    assert found["range"] == pytest.approx(990)
    assert found["peak"] == pytest.approx(1001 / 996)


def test_detail_of_a_sine_follows_from_its_frequency() -> None:
    # Second differences of a wave of w radians per voxel are 2 - 2 cos w times the wave.
    wave = 10 + np.sin(np.arange(1200) * 0.5)[:, None, None] + np.zeros((1, 7, 7))
    assert detail(wave) == pytest.approx((2 - 2 * np.cos(0.5)) ** 2 / 6, rel=0.01)


def test_detail_is_that_of_the_finest_axis_and_independent_of_scale() -> None:
    noise = np.random.default_rng(1).normal(50, 5, (60, 60, 20))
    thick = np.repeat(noise, 5, axis=2)  # thick slices
    assert detail(thick) == pytest.approx(1, abs=0.1)
    assert detail(1000 * thick) == pytest.approx(detail(thick), rel=1e-3)


def test_background_voxels_do_not_count_as_detail() -> None:
    ramp = np.arange(1.0, 61)[:, None, None] + np.arange(60)[:, None] + np.arange(60)
    ramp[:20], ramp[50:] = 0, 0
    assert detail(ramp) == pytest.approx(0, abs=1e-9)


def test_the_orientation_of_a_file_does_not_change_its_statistics() -> None:
    data = np.zeros((60, 66, 54))
    data[5:50, 8:60, 6:48] = np.random.default_rng(1).uniform(100, 300, (45, 52, 42))
    lps, ras = (Grid(data.shape, np.diag([sign, sign, 1.0, 1])) for sign in (-1.0, 1.0))
    scans = {
        "t1": Scan("t1", Volume(data, lps)),
        "t2": Scan("t2", Volume(np.ascontiguousarray(data[::-1, ::-1]), ras)),
    }
    t1, t2 = measure_scans(Case("case", {}, LabelScheme.BRATS2021), scans)
    assert t1.fingerprint == t2.fingerprint is not None
    assert t1.detail == t2.detail is not None


@pytest.mark.parametrize("shape", [(60, 66, 54), (0, 4, 4)])
def test_an_empty_image_has_no_quality(shape: tuple[int, ...]) -> None:
    assert quality(np.zeros(shape)) == {}


def test_a_constant_image_has_no_range_and_no_detail() -> None:
    found = quality(np.full((30, 30, 30), 5, np.int16))
    nothing = dict.fromkeys(("range", "detail", "fingerprint", "voxels_sha256"))
    assert found == {**nothing, "peak": 1}
