"""Level and rank by hand, and by simulation that the level holds."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.prediction import RegionVolume
from glioseg.models.inference.uncertainty import (
    conformal_quantile,
    entropy_bits,
    fit_interval,
    fit_volume_intervals,
    mean_bits,
    region_volumes,
    supported_level,
    volume_error,
    volume_interval,
)


@pytest.mark.parametrize(
    ("regions", "bits"),
    [
        ((0.75, 0.5, 0.25), 2.0),  # four labels, a quarter each
        ((0.0, 0.0, 0.0), 0.0),
        ((1.0, 1.0, 1.0), 0.0),
        ((1.0, 0.5, 0.0), 1.0),  # oedema or core
        ((0.5, 0.5, 0.5), 1.0),  # background or enhancing
        ((0.5, 1.0, 1.0), 1.0),  # cut to nested: the same
        ((0.5, 0.25, 0.0), 1.5),  # ½, ¼, ¼
    ],
)
def test_entropy_by_hand(regions, bits):
    assert entropy_bits(np.array(regions, np.float32)).item() == pytest.approx(bits, abs=1e-6)


def test_mean_entropy_of_the_brain_and_of_each_region_that_is_there():
    bits = np.array([[[0.5, 1.0, 1.5, 0.0]]], np.float32)
    labels = np.array([[[0, 2, 1, 0]]], np.uint8)
    brain = np.array([[[True, True, True, False]]])
    # Oedema is WT alone, the core WT and TC; nothing enhances.
    assert mean_bits(bits, labels, brain) == {"brain": 1.0, "WT": 1.25, "TC": 1.5}


def test_volumes_and_their_intervals_by_hand():
    p = np.zeros((5, 3), np.float32)
    p[:, 0] = [0.99, 0.95, 0.6, 0.3, 0.05]
    p[:, 1] = 0.95
    labels = np.array([[[1, 2, 2, 0, 0]]], np.uint8)
    intervals = VolumeIntervals((1.0, 2.0, 0.0), level=0.875, cases=7)
    volumes = region_volumes(labels, p, intervals=intervals, voxel_ml=2.0)
    # WT: 3 voxels are 6 ml; 2 voxels (4 ml) are certain and 4 (8 ml) possible: a factor of 9 / 5. The upper
    # end would be 7 · 9 / 5 − 1 = 11.6 ml, but the brain has 10.
    assert astuple(volumes["WT"]) == pytest.approx((6.0, 7 * 5 / 9 - 1, 10.0, 0.875, None))
    # TC: all 5 voxels are certain, so the minimum uncertainty counts, twice.
    tc = (2.0, 3 * math.exp(-0.2) - 1, 3 * math.exp(0.2) - 1, 0.875, None)
    assert astuple(volumes["TC"]) == pytest.approx(tc)
    assert volumes["ET"] == RegionVolume(0.0, 0.0, 0.0, 0.875)


def test_an_interval_does_not_extend_beyond_that_of_the_enclosing_region():
    """WT is certain: 10 ml, to 11 · e^0.1 − 1. Of TC and ET 1 ml is certain, and 30 ml are possible."""
    p = np.full((30, 3), 0.5, np.float32)
    p[:, 0] = np.where(np.arange(30) < 10, 0.95, 0.0)
    p[0] = 0.95
    labels = np.where(np.arange(30) < 10, 3, 0).astype(np.uint8).reshape(1, 1, 30)
    intervals = VolumeIntervals((1.0, 1.0, 1.0), level=0.9, cases=9)
    volumes = region_volumes(labels, p, intervals=intervals, voxel_ml=1.0)
    assert [volume.high_ml for volume in volumes.values()] == pytest.approx([11 * math.exp(0.1) - 1] * 3)
    assert volumes["TC"].low_ml == volumes["ET"].low_ml < volumes["WT"].low_ml


def test_without_intervals_only_volumes_are_given():
    labels = np.array([[[1, 2, 3]]], np.uint8)
    volumes = region_volumes(labels, np.full((3, 3), 0.5, np.float32), intervals=None, voxel_ml=2.0)
    assert volumes == {"WT": RegionVolume(6.0), "TC": RegionVolume(4.0), "ET": RegionVolume(2.0)}
    assert volumes["WT"].level is None


def test_where_predictions_are_too_small_the_interval_lies_above_them():
    """True volumes are 10 to 20 % larger, on the scale of ratios; a minimum of uncertainty."""
    errors = [volume_error(11 * up - 1, 10.0, 0.1) for up in (1.1, 1.12, 1.15, 1.18, 1.2)]
    shift, half_width = fit_interval(errors)
    low, high = volume_interval(10.0, 0.1, half_width, shift)
    assert shift == pytest.approx(math.log(1.15) / 0.1)
    assert low == 10.0  # it contains the prediction
    assert 11 * 1.2 - 1 <= high < 11 * 1.25 - 1
    intervals = VolumeIntervals((half_width,) * 3, level=5 / 6, cases=5, shift=(shift,) * 3)
    voxels = np.full((30, 3), 0.95, np.float32)
    labels = np.where(np.arange(30) < 10, 3, 0).astype(np.uint8).reshape(1, 1, 30)
    for volume in region_volumes(labels, voxels, intervals=intervals, voxel_ml=1.0).values():
        assert (volume.ml, volume.low_ml, volume.high_ml) == pytest.approx((10.0, low, high))


def test_intervals_of_each_region_ignore_predictions_that_cannot_be_judged():
    """Median errors 1, 2 and 3; the last of WT and TC is the farthest from the median of the other four."""
    nan = math.nan
    errors = np.array([[0, 2, 3], [1, 2, 3], [1, 2, nan], [1, 2, 3], [3, 7, 3]], float)
    fitted = fit_volume_intervals(errors, cases=5)
    assert fitted == VolumeIntervals((2.0, 5.0, 0.0), level=5 / 6, cases=5, shift=(1.0, 2.0, 3.0))
    assert fit_volume_intervals(errors, cases=3) is None


def test_an_interval_does_not_go_below_0():
    assert volume_interval(0.5, 1.0, 3.0)[0] == 0.0


def test_an_interval_of_the_volume_error_just_contains_the_truth():
    rng = np.random.default_rng(0)
    for true, ml, uncertainty in zip(*rng.uniform(0.1, 50, (3, 20)).tolist(), strict=True):
        score = abs(volume_error(true, ml, uncertainty))
        low, high = volume_interval(ml, uncertainty, score)
        assert min(abs(true - low), abs(true - high)) == pytest.approx(0, abs=1e-9)
        low, high = volume_interval(ml, uncertainty, 0.99 * score)
        assert not low <= true <= high


def test_empty_regions_have_finite_scores():
    # 0 ml predicted, 1 ml true: a factor of 2 on the shifted scale, divided by the uncertainty.
    assert volume_error(1.0, 0.0, 0.1) == pytest.approx(10 * math.log(2))
    assert volume_error(0.0, 0.0, 0.1) == 0.0


@pytest.mark.parametrize(
    ("cases", "level", "rank"),
    [
        (4, 4 / 5, 4),
        (7, 7 / 8, 7),  # every eighth new case exceeds the largest of 7
        (8, 8 / 9, 8),
        (9, 0.9, 9),
        (10, 0.9, 10),  # ⌈0.9 · 11⌉
        (19, 0.9, 18),  # 18 / 20
        (20, 0.9, 19),  # ⌈18.9⌉
        (29, 0.9, 27),  # 27 / 30: 0.9 · 30 must not be rounded up to 28
        (99, 0.9, 90),
    ],
)
def test_level_and_rank_by_hand(cases, level, rank):
    assert supported_level(cases) == pytest.approx(level, abs=1e-15)
    scores = np.random.default_rng(0).permutation(np.arange(1, cases + 1)).tolist()
    assert conformal_quantile(scores) == rank


@pytest.mark.parametrize("cases", [0, 1, 2, 3])
def test_fewer_than_four_cases_support_no_interval(cases):
    assert supported_level(cases) is None


@pytest.mark.parametrize("cases", [4, 7, 9, 19, 32])
def test_intervals_cover_new_cases_at_their_level(cases):
    """Exchangeable scores that are not independent: each trial has its own scale."""
    trials = 20000
    rng = np.random.default_rng(cases)
    scores = rng.standard_exponential((trials, cases + 1)) * rng.uniform(0.5, 2, (trials, 1))
    limits = np.array([conformal_quantile(row) for row in scores[:, 1:].tolist()])
    covered = int((scores[:, 0] <= limits).sum())
    level = supported_level(cases)
    rank = int(np.searchsorted(np.sort(scores[0, 1:]), limits[0])) + 1
    low, high = stats.binom.ppf([0.0005, 0.9995], trials, rank / (cases + 1))
    assert low <= covered <= high  # for continuous scores the probability is exactly rank / (n + 1)
    assert rank / (cases + 1) >= level - 1e-12
