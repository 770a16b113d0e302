"""Oracles: masks small enough to count by hand, and the definition in loops, with surface-distance's HD95."""

from dataclasses import astuple

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from glioseg.evaluation.lesion_wise import lesion_scores

MM = (1.0, 1.0, 1.0)
SHAPE = (34, 20, 20)


def cubes(*starts, size=(4, 4, 4), shape=SHAPE):
    """Blocks of 4×4×4 = 64 mm³, more than the 50 mm³ below which a lesion does not count."""
    mask = np.zeros(shape, bool)
    for start in starts:
        mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


def scores(truth, prediction, spacing_mm=MM):
    """Dice, HD95 in mm, and the numbers of scored, missed and false lesions."""
    return lesion_scores(truth, prediction, spacing_mm=spacing_mm)


ONE, FAR = (2, 8, 8), (24, 8, 8)
NOTHING = cubes()


def test_a_perfect_prediction():
    assert astuple(scores(cubes(ONE, FAR), cubes(ONE, FAR))) == pytest.approx((1, 0, 2, 0, 0))


def test_a_missed_lesion_counts_dice_0_and_374_mm():
    assert astuple(scores(cubes(ONE, FAR), cubes(ONE))) == pytest.approx((0.5, 374 / 2, 2, 1, 0))


def test_a_false_lesion_joins_the_denominator():
    result = scores(cubes(ONE), cubes(ONE) | cubes(FAR, (15, 2, 2), size=(1, 1, 1)))
    assert astuple(result) == pytest.approx((1 / 3, 374 * 2 / 3, 1, 0, 2))


def test_lesions_have_equal_weight_whatever_their_size():
    truth = cubes((2, 2, 2), size=(10, 10, 10)) | cubes(FAR)
    half = cubes(FAR, size=(2, 4, 4))
    result = scores(truth, cubes((2, 2, 2), size=(10, 10, 10)) | half)
    # Dice 1 for the large one, 2·32 / (64 + 32) for the small one; its missing voxels are 2 mm away.
    assert astuple(result) == pytest.approx(((1 + 2 / 3) / 2, 2 / 2, 2, 0, 0))


@pytest.mark.parametrize(("size", "lesions"), [((5, 5, 2), 0), ((17, 3, 1), 1)], ids=["50 mm³", "51 mm³"])
def test_a_lesion_up_to_50_mm3_is_not_scored(size, lesions):
    result = scores(cubes(ONE, size=size), NOTHING)
    assert (result.lesions, result.missed, result.dice) == (lesions, lesions, 1 - lesions)


def test_a_component_on_an_unscored_lesion_is_not_false():
    small = cubes(FAR, size=(2, 2, 2))
    assert astuple(scores(cubes(ONE) | small, cubes(ONE) | small)) == pytest.approx((1, 0, 1, 0, 0))
    assert astuple(scores(small, small)) == pytest.approx((1, 0, 0, 0, 0))


def test_the_threshold_is_in_mm3():
    truth = cubes(ONE, size=(2, 2, 7))  # 28 voxels
    assert scores(truth, truth).lesions == 0
    assert scores(truth, truth, (1.0, 1.0, 2.0)).lesions == 1  # 56 mm³


@pytest.mark.parametrize(("gap", "lesions", "dice"), [(6, 1, 2 / 3), (7, 2, 1 / 2)])
def test_blocks_that_touch_after_dilation_by_3_voxels_are_one_lesion(gap, lesions, dice):
    # With a gap of 6 both grow 3 and touch; then one predicted block of two has Dice 2·64 / (128 + 64).
    result = scores(cubes(ONE, (2 + 4 + gap, 8, 8)), cubes(ONE))
    assert (result.lesions, result.dice) == (lesions, pytest.approx(dice))


@pytest.mark.parametrize(("step", "lesions"), [(5, 1), (6, 2)])
def test_dilation_uses_edges_and_not_corners(step, lesions):
    # From corner to corner: three steps over edges reach (2, 2, 2), so both sides together and the
    # touching of corners span 2 + 2 + 1 voxels along each axis. Steps over corners would span 7.
    shape = (20, 20, 20)
    truth = cubes((1, 1, 1), (4 + step, 4 + step, 4 + step), shape=shape)
    assert scores(truth, truth).lesions == lesions


def test_a_component_near_a_lesion_matches_it():
    # Two voxels of air between: inside the dilated lesion, so neither missed nor false, with Dice 0.
    result = scores(cubes(ONE), cubes((8, 8, 8), size=(1, 1, 1)))
    assert (result.dice, result.missed, result.false) == (0, 0, 0)
    # The block's corners span 4 voxels; the farthest are 6, 3 and 3 voxels from the single voxel's.
    assert 3 < result.hd95_mm <= np.sqrt(54)


def test_the_components_of_one_lesion_are_united():
    # Slices 0, 1 and 3 of four: 48 voxels in two components.
    broken = cubes(ONE, size=(2, 4, 4)) | cubes((5, 8, 8), size=(1, 4, 4))
    assert astuple(scores(cubes(ONE), broken)) == pytest.approx((2 * 48 / 112, 1, 1, 0, 0))


def test_a_component_across_two_lesions_matches_both():
    # Two blocks 7 voxels apart, and a bar of 15×4×4 over both.
    result = scores(cubes(ONE, (13, 8, 8)), cubes(ONE, size=(15, 4, 4)))
    assert (result.lesions, result.missed, result.false) == (2, 0, 0)
    assert result.dice == pytest.approx(2 * 64 / (64 + 240))


def test_both_empty_is_perfect():
    assert astuple(scores(NOTHING, NOTHING)) == pytest.approx((1, 0, 0, 0, 0))


def test_with_an_empty_truth_every_component_is_false():
    assert astuple(scores(NOTHING, cubes(ONE, FAR))) == pytest.approx((0, 374, 0, 0, 2))


def test_with_an_empty_prediction_every_lesion_is_missed():
    assert astuple(scores(cubes(ONE, FAR), NOTHING)) == pytest.approx((0, 374, 2, 2, 0))


def by_definition(truth, prediction, spacing_mm):
    """The definition in loops: each lesion dilated alone, compared with each component of the prediction."""
    near, touching = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3))
    zones, lesions = ndimage.label(ndimage.binary_dilation(truth, near, iterations=3), touching)
    labelled, count = ndimage.label(prediction, touching)
    parts = [labelled == part for part in range(1, count + 1)]
    seen, rows = set(), []
    for number in range(1, lesions + 1):
        lesion = truth & (zones == number)
        reach = ndimage.binary_dilation(lesion, near, iterations=3)
        mine = [nth for nth, part in enumerate(parts) if (part & reach).any()]
        seen |= set(mine)
        if lesion.sum() * np.prod(spacing_mm) > 50:
            union = np.any([parts[nth] for nth in mine], axis=0) if mine else None
            rows.append((0, 374) if union is None else compared(lesion, union, spacing_mm))
    rows += [(0, 374)] * (count - len(seen))
    return np.mean(rows, axis=0) if rows else (1, 0)


def compared(one, other, spacing_mm):
    dice = 2 * (one & other).sum() / (one.sum() + other.sum())
    distances = surface_distance.compute_surface_distances(one, other, spacing_mm)
    return dice, surface_distance.compute_robust_hausdorff(distances, 95)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([MM, (3.0, 3.0, 3.0), (1.0, 2.0, 2.5)]))
def test_equals_the_definition_done_lesion_by_lesion(seed, spacing_mm):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((30, 26, 24), bool)
        for _ in range(rng.integers(0, 7)):
            start, size = rng.integers(0, (27, 23, 21)), rng.integers(1, 7, 3)
            mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
        masks.append(mask)
    result = scores(*masks, spacing_mm)
    assert (result.dice, result.hd95_mm) == pytest.approx(by_definition(*masks, spacing_mm))
