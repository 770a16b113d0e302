"""Oracles: hand arithmetic, MONAI's published values, SciPy's distance transform, surface-distance."""

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from glioseg.evaluation.surface import (
    directed_distance_mm,
    grid_diagonal_mm,
    hausdorff_mm,
    surface_dice,
    surface_points_mm,
)

MM = (1.0, 1.0, 1.0)
OBLONG = (0.85, 1.2, 0.9)
spacings = st.tuples(*[st.floats(0.5, 3)] * 3)


def sphere(radius_mm, centre_mm, spacing_mm=MM):
    """On MONAI's grid of 99³ voxels."""
    places = np.indices((99, 99, 99)) * np.reshape(spacing_mm, (3, 1, 1, 1))
    return ((places - np.reshape(centre_mm, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius_mm**2


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


@pytest.mark.parametrize(
    ("one", "other", "spacing_mm", "percentile", "expected_mm"),
    [
        ((20, (20, 20, 20)), (20, (19, 19, 19)), MM, 100.0, 1.7320508075688772),
        ((33, (19, 33, 22)), (33, (20, 33, 22)), MM, 100.0, 1.0),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 100.0, 20.223748416156685),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 95.0, 20.09975124224178),
        ((20, (20, 20, 20)), (20, (19, 19, 19)), OBLONG, 100.0, 2.2671568),
        ((15, (20, 33, 22)), (30, (20, 33, 22)), OBLONG, 100.0, 15.62594),
    ],
)
def test_spheres_as_monai_publishes_them(one, other, spacing_mm, percentile, expected_mm):
    masks = [sphere(*args, spacing_mm) for args in (one, other)]
    distance_mm = hausdorff_mm(*masks, spacing_mm=spacing_mm, percentile=percentile)
    assert distance_mm == pytest.approx(expected_mm, rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "spacing_mm", "percentile", "expected_mm"),
    [
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 100.0, 20.09975124224178),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 95.0, 19.924858845171276),
        ((20, (20, 20, 20)), (20, (19, 19, 19)), OBLONG, 100.0, 2.08087),
    ],
)
def test_spheres_in_one_direction_as_monai_publishes_them(one, other, spacing_mm, percentile, expected_mm):
    surfaces = [surface_points_mm(sphere(*args, spacing_mm), spacing_mm) for args in (one, other)]
    assert directed_distance_mm(*surfaces, percentile) == pytest.approx(expected_mm, rel=1e-5)


def test_two_voxels_3_4_0_apart_at_2_mm():
    assert hausdorff_mm(voxel(1, 1, 1), voxel(4, 5, 1), spacing_mm=(2.0, 2.0, 2.0)) == 10


def test_the_larger_direction_counts_and_directions_are_not_pooled():
    # 40 voxels in a row, a single one at its end. From the one to the row: 0. From the row: 0 to 39,
    # whose 95th percentile, interpolated, is 0.95 · 39 = 37.05. The 41 distances pooled would give 37.
    row, end = np.zeros((40, 3, 3), bool), np.zeros((40, 3, 3), bool)
    row[:, 1, 1], end[0, 1, 1] = True, True
    for one, other in ((row, end), (end, row)):
        assert hausdorff_mm(one, other, spacing_mm=MM) == pytest.approx(37.05)


def test_only_the_surface_counts():
    solid, hollow = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    solid[2:7, 2:7, 2:7] = True
    hollow |= solid
    hollow[4, 4, 4] = False
    # The hole's six face neighbours are surface too; the nearest outer surface is 1 voxel further out.
    assert hausdorff_mm(solid, hollow, spacing_mm=MM, percentile=100.0) == 1


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


masks = arrays(bool, (6, 5, 7))


@given(masks, masks, spacings, st.sampled_from([50.0, 95.0, 100.0]))
def test_equals_scipys_distance_transform(truth, prediction, spacing_mm, percentile):
    if not truth.any() or not prediction.any():
        return
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    transforms = [ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces]
    directed = [transforms[1][surfaces[0]], transforms[0][surfaces[1]]]
    expected_mm = max(np.percentile(distances, percentile) for distances in directed)
    distance_mm = hausdorff_mm(truth, prediction, spacing_mm=spacing_mm, percentile=percentile)
    assert distance_mm == pytest.approx(expected_mm)


@settings(max_examples=12)
@given(st.integers(0, 2**32), spacings, st.sampled_from([95.0, 100.0]))
def test_within_a_voxel_of_surface_distance(seed, spacing_mm, percentile):
    # surface-distance puts the surface on the corners of voxels, half a diagonal away at both ends.
    truth, prediction = blob(seed), blob(seed + 1)
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing_mm)
    expected_mm = surface_distance.compute_robust_hausdorff(distances, percentile)
    distance_mm = hausdorff_mm(truth, prediction, spacing_mm=spacing_mm, percentile=percentile)
    assert distance_mm == pytest.approx(expected_mm, abs=np.linalg.norm(spacing_mm))


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


def noise(seed, shape=(20, 18, 16)):
    """A random mask, from a smooth blob to single voxels, away from the border."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0, 2.5))
    inner = (slice(2, -2),) * 3
    mask = np.zeros(shape, bool)
    mask[inner] = field[inner] > np.quantile(field[inner], rng.uniform(0.5, 0.95))
    return mask


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.tuples(*[st.sampled_from([0.7, 1.0, 1.3, 2.0])] * 3),
    st.sampled_from([0.5, 1.1, 2.3]),
)
def test_equals_surface_distance(seed, spacing_mm, tolerance_mm):
    truth, prediction = noise(seed), noise(seed + 1)
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing_mm)
    expected = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance_mm)
    dice = surface_dice(truth, prediction, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)
    assert dice == pytest.approx(expected, rel=1e-6)  # its areas are float32
