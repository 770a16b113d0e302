"""Oracles: hand arithmetic, and surface-distance, whose authors defined the metric."""

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from glioseg.evaluation.surface_dice import surface_dice

MM = (1.0, 1.0, 1.0)


def voxel(*place, shape=(9, 9, 9)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


def test_two_voxels_2_mm_apart_agree_by_half():
    # Each voxel's surface has eight corners of equal area: four face the other, 1 mm away, four are 2 mm off.
    assert surface_dice(voxel(4, 4, 3), voxel(4, 4, 5), spacing_mm=MM) == 0.5


@pytest.mark.parametrize(("tolerance_mm", "dice"), [(0.99, 0.0), (1.0, 0.5), (1.99, 0.5), (2.0, 1.0)])
def test_the_tolerance_is_included(tolerance_mm, dice):
    masks = voxel(4, 4, 3), voxel(4, 4, 5)
    assert surface_dice(*masks, spacing_mm=MM, tolerance_mm=tolerance_mm) == dice


def test_spacing_counts():
    masks = voxel(4, 4, 3), voxel(4, 4, 5)
    assert surface_dice(*masks, spacing_mm=(1.0, 1.0, 2.0)) == 0
    assert surface_dice(*masks, spacing_mm=(1.0, 1.0, 0.5)) == 1


def test_a_spacing_off_in_its_last_digit_changes_nothing():
    assert surface_dice(voxel(4, 4, 3), voxel(4, 4, 5), spacing_mm=(1.0, 1.0, 1 + 1e-7)) == 0.5


def test_area_and_not_corners_are_counted():
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
"""Marching cubes cuts off one corner of a cube by an equilateral triangle between its edges' middles."""
AREA_OF_AN_EDGE = np.sqrt(2) / 2
"""And an edge by a rectangle of 1 by half a diagonal."""


def test_perfect_is_1():
    assert surface_dice(voxel(4, 4, 4), voxel(4, 4, 4), spacing_mm=MM) == 1


def test_both_empty_is_1():
    nothing = np.zeros((5, 5, 5), bool)
    assert surface_dice(nothing, nothing, spacing_mm=MM) == 1


def test_empty_truth_is_0():
    assert surface_dice(np.zeros((9, 9, 9), bool), voxel(4, 4, 4), spacing_mm=MM) == 0


def test_empty_prediction_is_0():
    assert surface_dice(voxel(4, 4, 4), np.zeros((9, 9, 9), bool), spacing_mm=MM) == 0


def test_a_mask_at_the_border_of_the_grid_is_closed():
    corner, inside = voxel(0, 0, 0), voxel(4, 4, 4)
    both = [surface_dice(mask, np.roll(mask, 2, axis=2), spacing_mm=MM) for mask in (corner, inside)]
    assert both == [0.5, 0.5]


def noise(seed, shape=(20, 18, 16)):
    """Anything from a smooth blob to single voxels, away from the border."""
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
    found = surface_dice(truth, prediction, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)
    assert found == pytest.approx(expected, rel=1e-6)  # its areas are float32
