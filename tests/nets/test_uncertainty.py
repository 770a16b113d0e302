import math
from dataclasses import astuple

import numpy as np
import pytest

from glioseg.data.answers import RegionVolume
from glioseg.nets.uncertainty import choose_reach, entropy_bits, interval, mean_bits, region_volumes


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
    volumes = region_volumes(labels, p, reach=(1.0, 2.0, 0.0), voxel_ml=2.0)
    # WT: 3 voxels are 6 ml; 2 voxels (4 ml) are sure and 4 (8 ml) possible: a factor of 9 / 5. It would
    # reach to 7 · 9 / 5 − 1 = 11.6 ml, but the brain has 10.
    assert astuple(volumes["WT"]) == pytest.approx((6.0, 7 * 5 / 9 - 1, 10.0))
    # TC: all 5 voxels are sure, so the least doubt counts, twice.
    assert astuple(volumes["TC"]) == pytest.approx((2.0, 3 * math.exp(-0.2) - 1, 3 * math.exp(0.2) - 1))
    assert volumes["ET"] == RegionVolume(0.0, 0.0, 0.0)


def test_no_volume_is_below_nothing():
    assert interval(0.5, 1.0, 3.0).low_ml == 0.0


def test_the_smallest_reach_that_holds_often_enough_is_chosen():
    # Twenty cases of 9 ml whose answers are off by factors 1.01, 1.02, … of 10: ⌈0.9 · 21⌉ = 19.
    answers = [10 * (1 + i / 100) - 1 for i in range(1, 21)]
    assert choose_reach([9.0] * 20, answers, [0.5] * 20) == pytest.approx(math.log(1.19) / 0.5)


def test_of_few_cases_all_are_held():
    # Five cases: ⌈0.9 · 6⌉ = 6, so all five; the doubt of a case divides its error.
    assert choose_reach([9.0] * 5, [9.0] * 4 + [19.0], [0.1] * 4 + [0.2]) == pytest.approx(math.log(2) / 0.2)


def test_what_is_chosen_holds_the_cases_that_chose_it():
    rng = np.random.default_rng(0)
    truth, answer = rng.uniform(0, 50, (2, 8)).tolist()
    doubts = rng.uniform(0.1, 1, 8).tolist()
    reach = choose_reach(truth, answer, doubts)
    for true, ml, d in zip(truth, answer, doubts, strict=True):
        held = interval(ml, d, reach)
        assert held.low_ml - 1e-9 <= true <= held.high_ml + 1e-9
