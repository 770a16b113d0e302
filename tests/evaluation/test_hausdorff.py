"""Oracles: hand arithmetic, MONAI's published values, SciPy's distance transform, surface-distance."""

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from glioseg.evaluation.hausdorff import directed_mm, grid_diagonal_mm, hausdorff_mm, surface_mm

MM = (1.0, 1.0, 1.0)
OBLONG = (0.85, 1.2, 0.9)
spacings = st.tuples(*[st.floats(0.5, 3)] * 3)


def sphere(radius_mm, centre_mm, spacing_mm=MM):
    """On MONAI's grid of 99³ voxels."""
    places = np.indices((99, 99, 99)) * np.reshape(spacing_mm, (3, 1, 1, 1))
    return ((places - np.reshape(centre_mm, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius_mm**2


def voxel(*place, shape=(12, 12, 12)):
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
    found = hausdorff_mm(*masks, spacing_mm=spacing_mm, percentile=percentile)
    assert found == pytest.approx(expected_mm, rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "spacing_mm", "percentile", "expected_mm"),
    [
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 100.0, 20.09975124224178),
        ((20, (20, 33, 22)), (40, (20, 33, 22)), MM, 95.0, 19.924858845171276),
        ((20, (20, 20, 20)), (20, (19, 19, 19)), OBLONG, 100.0, 2.08087),
    ],
)
def test_spheres_in_one_direction_as_monai_publishes_them(one, other, spacing_mm, percentile, expected_mm):
    surfaces = [surface_mm(sphere(*args, spacing_mm), spacing_mm) for args in (one, other)]
    assert directed_mm(*surfaces, percentile) == pytest.approx(expected_mm, rel=1e-5)


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


def test_both_empty_is_zero():
    nothing = np.zeros((4, 4, 4), bool)
    assert hausdorff_mm(nothing, nothing, spacing_mm=MM) == 0


@pytest.mark.parametrize("swap", [False, True], ids=["empty truth", "empty prediction"])
def test_one_empty_costs_the_diagonal(swap):
    masks = [np.zeros((12, 12, 12), bool), voxel(1, 1, 1)]
    found = hausdorff_mm(*masks[:: -1 if swap else 1], spacing_mm=(1.0, 2.0, 2.0))
    assert found == pytest.approx(36)  # 12, 24 and 24 mm: the square root of 144 + 576 + 576


def test_the_diagonal_of_the_brats_grid_is_brats_own_penalty():
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
    found = hausdorff_mm(truth, prediction, spacing_mm=spacing_mm, percentile=percentile)
    assert found == pytest.approx(expected_mm)


@settings(max_examples=12)
@given(st.integers(0, 2**32), spacings, st.sampled_from([95.0, 100.0]))
def test_within_a_voxel_of_surface_distance(seed, spacing_mm, percentile):
    # That package puts its surface on the corners of voxels, half a diagonal off at both ends.
    truth, prediction = blob(seed), blob(seed + 1)
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing_mm)
    expected_mm = surface_distance.compute_robust_hausdorff(distances, percentile)
    found = hausdorff_mm(truth, prediction, spacing_mm=spacing_mm, percentile=percentile)
    assert found == pytest.approx(expected_mm, abs=np.linalg.norm(spacing_mm))


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
