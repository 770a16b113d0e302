"""Oracles: hand arithmetic, and surface-distance, the library that BraTS 2023's metric code contains."""

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from glioseg.evaluation.surface import grid_diagonal_mm, hausdorff_mm, surface_dice

MM = (1.0, 1.0, 1.0)
OBLONG = (0.85, 1.2, 0.9)


def voxel(*place, shape=(9, 9, 9)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


def blob(seed, shape=(26, 24, 22)):
    """A smooth random shape away from the border."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    mask = np.zeros(shape, bool)
    inner = (slice(3, -3),) * 3
    mask[inner] = field[inner] > np.quantile(field[inner], 0.75)
    return mask


def test_two_voxels_3_4_0_apart_at_2_mm():
    # The farthest two of a voxel's eight corners, a quarter of its area, are 6, 8 and 0 mm from the other's.
    assert hausdorff_mm(voxel(1, 1, 1), voxel(4, 5, 1), spacing_mm=(2.0, 2.0, 2.0)) == 10


def row(length):
    mask = np.zeros((41, 3, 3), bool)
    mask[:length, 1, 1] = True
    return mask


def test_area_is_weighted_the_larger_direction_counts_and_directions_are_not_pooled():
    # A row of 40 voxels has two ends of 4 corners, and 39 rings of 4 edges between voxels: 112.04 mm². 95 %
    # of it, 106.44, is reached at the 38th ring, which is 18 mm beyond a row of 20. In the other direction
    # all distances are 0. Both directions pooled, 167.51 mm², would reach 95 % at the 37th ring.
    end, ring = 4 * AREA_OF_A_CORNER, 4 * AREA_OF_AN_EDGE
    assert end + 37 * ring < 0.95 * (2 * end + 39 * ring) < end + 38 * ring
    for one, other in ((row(40), row(20)), (row(20), row(40))):
        assert hausdorff_mm(one, other, spacing_mm=MM) == 18


def test_a_cavity_has_a_surface():
    solid, hollow = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    solid[2:7, 2:7, 2:7] = True
    hollow |= solid
    hollow[4, 4, 4] = False
    # The cavity's corners lie 2 voxels inside the outer surface.
    assert hausdorff_mm(solid, hollow, spacing_mm=MM, percentile=100.0) == 2


def test_two_empty_masks_have_distance_0():
    nothing = np.zeros((4, 4, 4), bool)
    assert hausdorff_mm(nothing, nothing, spacing_mm=MM) == 0


@pytest.mark.parametrize("swap", [False, True], ids=["empty truth", "empty prediction"])
def test_one_empty_mask_gives_the_diagonal(swap):
    masks = [np.zeros((12, 12, 12), bool), voxel(1, 1, 1, shape=(12, 12, 12))]
    distance_mm = hausdorff_mm(*masks[:: -1 if swap else 1], spacing_mm=(1.0, 2.0, 2.0))
    assert distance_mm == pytest.approx(36)  # 12, 24 and 24 mm: the square root of 144 + 576 + 576


def test_the_diagonal_of_the_brats_grid_is_the_penalty_of_brats():
    assert grid_diagonal_mm((240, 240, 155), MM) == pytest.approx(373.13, abs=0.005)


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(-3, 3)] * 3))
def test_moving_both_masks_changes_nothing(seed, steps):
    masks = [blob(seed), blob(seed + 1)]
    moved = [np.roll(mask, steps, axis=(0, 1, 2)) for mask in masks]
    assert hausdorff_mm(*moved, spacing_mm=OBLONG) == pytest.approx(hausdorff_mm(*masks, spacing_mm=OBLONG))


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_symmetric(seed):
    one, other = blob(seed), blob(seed + 1)
    assert hausdorff_mm(one, other, spacing_mm=OBLONG) == hausdorff_mm(other, one, spacing_mm=OBLONG)


def test_two_voxels_2_mm_apart_agree_by_half():
    # Each voxel's surface has eight corners of equal area: four are 1 mm from the other voxel, four 2 mm.
    assert surface_dice(voxel(4, 4, 3), voxel(4, 4, 5), spacing_mm=MM) == 0.5


@pytest.mark.parametrize(("tolerance_mm", "dice"), [(0.99, 0.0), (1.0, 0.5), (1.99, 0.5), (2.0, 1.0)])
def test_the_tolerance_is_included(tolerance_mm, dice):
    masks = voxel(4, 4, 3), voxel(4, 4, 5)
    assert surface_dice(*masks, spacing_mm=MM, tolerance_mm=tolerance_mm) == dice


def test_the_tolerance_is_in_mm():
    masks = voxel(4, 4, 3), voxel(4, 4, 5)
    assert surface_dice(*masks, spacing_mm=(1.0, 1.0, 2.0)) == 0
    assert surface_dice(*masks, spacing_mm=(1.0, 1.0, 0.5)) == 1


def test_a_spacing_off_in_its_last_digit_changes_nothing():
    assert surface_dice(voxel(4, 4, 3), voxel(4, 4, 5), spacing_mm=(1.0, 1.0, 1 + 1e-7)) == 0.5


def test_surface_dice_counts_area_and_not_corners():
    # A voxel beside a rod of 1×1×40: the rod's surface weighs more than the voxel's.
    rod = np.zeros((9, 9, 50), bool)
    rod[4, 4, 5:45] = True
    single = voxel(4, 4, 5, shape=rod.shape)
    rod_area, near = 8 * AREA_OF_A_CORNER + 39 * 4 * AREA_OF_AN_EDGE, 4 * AREA_OF_A_CORNER
    # Within 1 mm of the voxel's corners: the rod's end (four corners) and the two next rings of edges.
    near += 2 * 4 * AREA_OF_AN_EDGE
    single_area = 8 * AREA_OF_A_CORNER
    expected = (near + single_area) / (rod_area + single_area)
    assert surface_dice(rod, single, spacing_mm=MM) == pytest.approx(expected)


AREA_OF_A_CORNER = np.sqrt(3) / 4 * (np.sqrt(2) / 2) ** 2
"""Marching cubes cuts off a corner of a cube by an equilateral triangle between the midpoints of edges."""
AREA_OF_AN_EDGE = np.sqrt(2) / 2
"""It cuts off an edge by a rectangle of 1 by half a diagonal."""


def test_surface_dice_of_equal_masks_is_1():
    assert surface_dice(voxel(4, 4, 4), voxel(4, 4, 4), spacing_mm=MM) == 1


def test_surface_dice_of_two_empty_masks_is_1():
    nothing = np.zeros((5, 5, 5), bool)
    assert surface_dice(nothing, nothing, spacing_mm=MM) == 1


def test_surface_dice_of_an_empty_truth_is_0():
    assert surface_dice(np.zeros((9, 9, 9), bool), voxel(4, 4, 4), spacing_mm=MM) == 0


def test_surface_dice_of_an_empty_prediction_is_0():
    assert surface_dice(voxel(4, 4, 4), np.zeros((9, 9, 9), bool), spacing_mm=MM) == 0


def test_a_mask_at_the_border_of_the_grid_is_closed():
    corner, inside = voxel(0, 0, 0), voxel(4, 4, 4)
    both = [surface_dice(mask, np.roll(mask, 2, axis=2), spacing_mm=MM) for mask in (corner, inside)]
    assert both == [0.5, 0.5]


def ragged(seed, shape=(20, 18, 16)):
    """A random mask, from a smooth blob to single voxels, which may touch the border of the grid."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0, 2.5))
    return field > np.quantile(field, rng.uniform(0.5, 0.99))


grids = st.tuples(*[st.sampled_from([0.7, 1.0, 1.3, 2.0, 5.0])] * 3)


@settings(max_examples=60)
@given(st.integers(0, 2**32), grids, st.sampled_from([50.0, 95.0, 100.0]))
def test_hausdorff_distance_equals_surface_distance(seed, spacing_mm, percentile):
    truth, prediction = ragged(seed), ragged(seed + 1)
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing_mm)
    expected_mm = surface_distance.compute_robust_hausdorff(distances, percentile)
    distance_mm = hausdorff_mm(truth, prediction, spacing_mm=spacing_mm, percentile=percentile)
    assert distance_mm == pytest.approx(expected_mm, rel=1e-12)


def test_hausdorff_distance_of_a_tumour_and_its_prediction_equals_surface_distance():
    # A ragged tumour of 25 ml, a smoother prediction of it, and a false fragment of 8 voxels.
    field = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(60, 60, 60)), 3)
    ball = np.linalg.norm(np.indices(field.shape) - 30.0 + 90 * field, axis=0)
    truth, prediction = ball < 18, ndimage.gaussian_filter(ball, 2) < 17
    prediction[55:57, 55:57, 2:4] = True
    distances = surface_distance.compute_surface_distances(truth, prediction, MM)
    expected_mm = surface_distance.compute_robust_hausdorff(distances, 95.0)
    assert hausdorff_mm(truth, prediction, spacing_mm=MM) == expected_mm > 1


@settings(max_examples=40)
@given(st.integers(0, 2**32), grids, st.sampled_from([0.5, 1.1, 2.3]))
def test_surface_dice_equals_surface_distance(seed, spacing_mm, tolerance_mm):
    truth, prediction = ragged(seed), ragged(seed + 1)
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing_mm)
    expected = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance_mm)
    dice = surface_dice(truth, prediction, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)
    assert dice == pytest.approx(expected, rel=1e-12)
