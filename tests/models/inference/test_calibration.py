import numpy as np
import pytest

from glioseg.models.inference.calibration import (
    BINS,
    calibrate,
    calibration_error,
    count_logits,
    fit_temperature,
    voxels_from,
)


def counts_of(*voxels):
    """Counts of one region: (probability, truly in it, how many)."""
    p = np.repeat([v[0] for v in voxels], [v[2] for v in voxels]).astype(np.float32)
    truth = np.repeat([v[1] for v in voxels], [v[2] for v in voxels])
    return count_logits(np.stack([p] * 3, axis=-1), np.stack([truth] * 3, axis=-1).astype(bool))[0]


def test_an_overconfident_network_is_cooled():
    # It says 0.9 where 0.75 are right. σ(ln 9 / T) = 0.75 asks for ln 9 / T = ln 3, so T = 2.
    assert fit_temperature(counts_of((0.9, True, 75), (0.9, False, 25))) == pytest.approx(2, rel=0.01)


def test_an_unsure_network_is_sharpened():
    # 0.75 where 0.9 are right, on both sides of ½: ln 3 / T = ln 9, T = ½.
    counts = counts_of((0.75, True, 90), (0.75, False, 10), (0.25, True, 10), (0.25, False, 90))
    assert fit_temperature(counts) == pytest.approx(0.5, rel=0.01)


def test_a_region_that_no_case_has_teaches_nothing():
    assert fit_temperature(counts_of((0.1, False, 10))) == 1.0
    assert fit_temperature(counts_of((0.9, True, 10))) == 1.0


def test_the_calibration_error_by_hand():
    # Guo et al. 2017, eq. 3: bins of 80 and 20 voxels. |0.05 − 0.1| · 0.8 + |0.5 − 0.9| · 0.2 = 0.12.
    counts = counts_of((0.1, True, 4), (0.1, False, 76), (0.9, True, 10), (0.9, False, 10))
    assert BINS == 15
    assert calibration_error(counts, 1.0) == pytest.approx(0.12, abs=0.001)


def test_errors_cancel_inside_a_bin_alone():
    # 0.48 and 0.52 lie in the bin from 7/15 to 8/15: mean ½, and 50 of 100 are right.
    inside = counts_of((0.48, False, 50), (0.52, True, 50))
    apart = counts_of((0.1, True, 50), (0.9, False, 50))
    assert calibration_error(inside, 1.0) == pytest.approx(0, abs=0.001)
    assert calibration_error(apart, 1.0) == pytest.approx(0.9, abs=0.001)


def test_the_right_temperature_removes_the_error():
    counts = counts_of((0.9, True, 75), (0.9, False, 25))
    assert calibration_error(counts, 1.0) == pytest.approx(0.15, abs=0.001)
    assert calibration_error(counts, fit_temperature(counts)) == pytest.approx(0, abs=0.001)


def test_temperature_divides_logits_and_leaves_a_half():
    p = np.array([[0.9, 0.9, 0.5], [0.1, 0.75, 0.0]], np.float32)
    # ln 9 / 2 = ln 3: 3/4. ln 9 · 2 = ln 81: 81/82. ln 3 · 2 = ln 9: 9/10.
    expected = [[3 / 4, 81 / 82, 0.5], [1 / 4, 9 / 10, 0.0]]
    np.testing.assert_allclose(calibrate(p, (2.0, 0.5, 1.0)), expected, atol=1e-6)
    assert calibrate(p, (2.0, 0.5, 1.0)).dtype == np.float32


def test_probabilities_of_0_and_1_are_counted_and_stay_finite():
    counts = counts_of((0.0, False, 3), (1.0, True, 2))
    assert counts.sum() == 5
    assert voxels_from(counts, 0.999, 1.0) == 2
    assert np.isfinite(calibrate(np.array([0.0, 1.0, 0.5], np.float32), (3.0, 3.0, 3.0))).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("level", [0.01, 0.2, 0.5, 0.8])
def test_voxels_are_counted_as_calibrated_probabilities_say(temperature, level):
    p = np.random.default_rng(1).uniform(size=(2000, 3)).astype(np.float32)
    counts = count_logits(p, p > 2)[0]
    direct = np.count_nonzero(calibrate(p, (temperature,) * 3)[:, 0] >= level)
    # A bin is 0.01 logits wide, in which lie at most 0.25 % of uniform probabilities.
    assert abs(voxels_from(counts, level, temperature) - direct) <= 0.005 * len(p)
