import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.models.inference.calibration import (
    BINS,
    apply_temperature,
    calibration_error_of_counts,
    count_logits,
    expected_calibration_error,
    fit_temperature,
    voxels_at_or_above,
)


def counts_of(*voxels):
    """Counts of one region: (probability, truly in it, how many)."""
    p = np.repeat([v[0] for v in voxels], [v[2] for v in voxels]).astype(np.float32)
    truth = np.repeat([v[1] for v in voxels], [v[2] for v in voxels])
    return count_logits(np.stack([p] * 3, axis=-1), np.stack([truth] * 3, axis=-1).astype(bool))[0]


def test_an_overconfident_network_gets_a_temperature_above_1():
    # It predicts 0.9 where 0.75 are right. σ(ln 9 / T) = 0.75 requires ln 9 / T = ln 3, so T = 2.
    assert fit_temperature(counts_of((0.9, True, 75), (0.9, False, 25))) == pytest.approx(2, rel=0.01)


def test_an_underconfident_network_gets_a_temperature_below_1():
    # 0.75 where 0.9 are right, on both sides of ½: ln 3 / T = ln 9, T = ½.
    counts = counts_of((0.75, True, 90), (0.75, False, 10), (0.25, True, 10), (0.25, False, 90))
    assert fit_temperature(counts) == pytest.approx(0.5, rel=0.01)


def test_a_region_in_no_or_every_voxel_keeps_temperature_1():
    assert fit_temperature(counts_of((0.1, False, 10))) == 1.0
    assert fit_temperature(counts_of((0.9, True, 10))) == 1.0


def test_the_calibration_error_by_hand():
    # Guo et al. 2017, eq. 3: bins of 80 and 20 voxels. |0.05 − 0.1| · 0.8 + |0.5 − 0.9| · 0.2 = 0.12.
    counts = counts_of((0.1, True, 4), (0.1, False, 76), (0.9, True, 10), (0.9, False, 10))
    assert BINS == 15
    assert calibration_error_of_counts(counts, 1.0) == pytest.approx(0.12, abs=0.001)


def test_errors_cancel_only_within_a_bin():
    # 0.48 and 0.52 lie in the bin from 7/15 to 8/15: mean ½, and 50 of 100 are right.
    one_bin = counts_of((0.48, False, 50), (0.52, True, 50))
    two_bins = counts_of((0.1, True, 50), (0.9, False, 50))
    assert calibration_error_of_counts(one_bin, 1.0) == pytest.approx(0, abs=0.001)
    assert calibration_error_of_counts(two_bins, 1.0) == pytest.approx(0.9, abs=0.001)


def test_the_right_temperature_removes_the_error():
    counts = counts_of((0.9, True, 75), (0.9, False, 25))
    assert calibration_error_of_counts(counts, 1.0) == pytest.approx(0.15, abs=0.001)
    assert calibration_error_of_counts(counts, fit_temperature(counts)) == pytest.approx(0, abs=0.001)


def test_temperature_divides_logits_and_keeps_one_half():
    p = np.array([[0.9, 0.9, 0.5], [0.1, 0.75, 0.0]], np.float32)
    # ln 9 / 2 = ln 3: 3/4. ln 9 · 2 = ln 81: 81/82. ln 3 · 2 = ln 9: 9/10.
    expected = [[3 / 4, 81 / 82, 0.5], [1 / 4, 9 / 10, 0.0]]
    np.testing.assert_allclose(apply_temperature(p, (2.0, 0.5, 1.0)), expected, atol=1e-6)
    assert apply_temperature(p, (2.0, 0.5, 1.0)).dtype == np.float32


def test_probabilities_of_0_and_1_are_counted_and_stay_finite():
    counts = counts_of((0.0, False, 3), (1.0, True, 2))
    assert counts.sum() == 5
    assert voxels_at_or_above(counts, 0.999, 1.0) == 2
    assert np.isfinite(apply_temperature(np.array([0.0, 1.0, 0.5], np.float32), (3.0, 3.0, 3.0))).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("level", [0.01, 0.2, 0.5, 0.8])
def test_voxels_are_counted_by_calibrated_probability(temperature, level):
    p = np.random.default_rng(1).uniform(size=(2000, 3)).astype(np.float32)
    counts = count_logits(p, p > 2)[0]
    direct = np.count_nonzero(apply_temperature(p, (temperature,) * 3)[:, 0] >= level)
    # A bin is 0.01 logits wide, in which lie at most 0.25 % of uniform probabilities.
    assert abs(voxels_at_or_above(counts, level, temperature) - direct) <= 0.005 * len(p)


def error_of_voxels(probability, truth):
    return expected_calibration_error(probability, truth, np.ones(len(truth), np.int64))


def test_calibrated_probabilities_have_no_error():
    probability = np.repeat(np.array([0.25, 0.75], np.float32), 4)
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert error_of_voxels(probability, truth) == 0


@pytest.mark.parametrize(("probability", "truth", "error"), [(1.0, False, 1), (0.0, True, 1), (1.0, True, 0)])
def test_probabilities_of_0_and_1_belong_to_the_end_bins(probability, truth, error):
    assert error_of_voxels(np.full(5, probability, np.float32), np.full(5, truth)) == error


@given(st.integers(0, 2**32 - 1))
def test_the_error_of_counts_is_that_of_voxels(seed):
    """Up to the rounding by the bins of logits, which are 0.01 wide."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.3, 0.6, 500).astype(np.float32)
    truth = rng.random(500) < probability**1.5
    counts = count_logits(np.stack([probability] * 3, axis=1), np.stack([truth] * 3, axis=1))
    expected = calibration_error_of_counts(counts[0], 1.0)
    assert error_of_voxels(probability, truth) == pytest.approx(expected, abs=0.02)
