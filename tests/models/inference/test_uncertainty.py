import math
from dataclasses import astuple

import numpy as np
import pytest

from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.prediction import RegionVolume
from glioseg.models.inference.uncertainty import (
    entropy_bits,
    interval,
    interval_score,
    mean_bits,
    region_volumes,
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
    # WT: 3 voxels are 6 ml; 2 voxels (4 ml) are sure and 4 (8 ml) possible: a factor of 9 / 5. It would
    # reach to 7 · 9 / 5 − 1 = 11.6 ml, but the brain has 10.
    assert astuple(volumes["WT"]) == pytest.approx((6.0, 7 * 5 / 9 - 1, 10.0, 0.875))
    # TC: all 5 voxels are sure, so the least doubt counts, twice.
    tc = (2.0, 3 * math.exp(-0.2) - 1, 3 * math.exp(0.2) - 1, 0.875)
    assert astuple(volumes["TC"]) == pytest.approx(tc)
    assert volumes["ET"] == RegionVolume(0.0, 0.0, 0.0, 0.875)


def test_without_intervals_there_are_volumes_alone():
    labels = np.array([[[1, 2, 3]]], np.uint8)
    volumes = region_volumes(labels, np.full((3, 3), 0.5, np.float32), intervals=None, voxel_ml=2.0)
    assert volumes == {"WT": RegionVolume(6.0), "TC": RegionVolume(4.0), "ET": RegionVolume(2.0)}
    assert volumes["WT"].level is None


def test_no_volume_is_below_nothing():
    assert interval(0.5, 1.0, 3.0)[0] == 0.0


def test_an_interval_of_its_own_score_just_holds_the_truth():
    rng = np.random.default_rng(0)
    for true, ml, unsure in zip(*rng.uniform(0.1, 50, (3, 20)).tolist(), strict=True):
        score = interval_score(true, ml, unsure)
        low, high = interval(ml, unsure, score)
        assert min(abs(true - low), abs(true - high)) == pytest.approx(0, abs=1e-9)
        low, high = interval(ml, unsure, 0.99 * score)
        assert not low <= true <= high


def test_empty_regions_have_finite_scores():
    # Nothing found, 1 ml there: a factor of 2 on the shifted scale; the doubt divides it.
    assert interval_score(1.0, 0.0, 0.1) == pytest.approx(10 * math.log(2))
    assert interval_score(0.0, 0.0, 0.1) == 0.0
