"""Estimates compared with measured peaks of new processes on a CPU, in GiB."""

import pytest

from glioseg.core.memory import peak_gb, resampling_peak_gb

FORWARD_PASSES = [
    # architecture, filters, shape, peak in GiB
    ("seed", 8, (64, 64, 64), 0.93),
    ("seed", 8, (80, 96, 80), 1.02),
    ("seed", 8, (144, 192, 144), 1.81),
    ("seed", 16, (128, 128, 128), 2.00),
    ("seed", 16, (144, 192, 144), 2.61),
    ("isensee", 16, (144, 192, 144), 2.50),
    ("nnunet", 16, (144, 192, 144), 2.36),
    ("seed", 32, (144, 192, 144), 3.97),
]
CASES = [
    # filters, shape of the whole crop or of a window, peak in GiB
    (16, (144, 192, 144), 2.89),
    (16, (96, 96, 96), 1.61),
]


@pytest.mark.parametrize(("architecture", "filters", "shape", "peak_gib"), FORWARD_PASSES)
def test_a_forward_pass(architecture, filters, shape, peak_gib):
    check(peak_gib, peak_gb(shape, base_filters=filters))


@pytest.mark.parametrize(("filters", "shape", "peak_gib"), CASES)
def test_a_real_case_from_files_to_the_prediction(filters, shape, peak_gib):
    check(peak_gib, peak_gb(shape, base_filters=filters))


def peak_of_0_5_mm(voxel_bytes):
    """The estimate for four images of 480 x 480 x 310 voxels of this many bytes, with the built-in model."""
    scan_bytes = 4 * 480 * 480 * 310 * voxel_bytes
    return resampling_peak_gb((284, 358, 281), (71, 90, 71), scan_bytes=scan_bytes)


def test_a_real_case_of_0_5_mm_with_resampling():
    check(2.51, peak_of_0_5_mm(2))


def test_images_of_0_5_mm_count_towards_the_budget_and_fit_in_3_gb_as_16_bit_integers():
    assert peak_of_0_5_mm(2) < 3
    # Four images of 71.4 million voxels, six bytes more each: 1.714 GB.
    assert peak_of_0_5_mm(8) - peak_of_0_5_mm(2) == pytest.approx(1.714, abs=0.001)


def check(peak_gib, estimate_gb):
    """The estimate is above the measured peak, by at most 1.6 times."""
    measured_gb = peak_gib * 2**30 / 1e9
    assert measured_gb <= estimate_gb <= 1.6 * measured_gb


def test_the_formula():
    # 1.35 GB when idle, a million voxels of 80 + 10 · 28 bytes, 0.03 GB of weights.
    assert peak_gb((100, 100, 100), base_filters=10) == pytest.approx(1.74)
