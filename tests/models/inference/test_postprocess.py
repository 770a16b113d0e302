import numpy as np
import pytest
from scipy import ndimage

from glioseg.models.inference.postprocess import (
    drop_small_components,
    drop_small_et,
    fill_core,
    remove_small_parts,
    threshold_regions,
)


def case(*values):
    return np.array(values, np.uint8).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("min_et_ml", "expected"), [(0.0, [3, 3, 2, 0]), (2.0, [3, 3, 2, 0]), (2.1, [1, 1, 2, 0])]
)
def test_enhancing_tumour_below_the_minimum_volume_becomes_core(min_et_ml, expected):
    assert drop_small_et(case(3, 3, 2, 0), min_et_ml=min_et_ml, voxel_ml=1.0).ravel().tolist() == expected


def test_a_case_without_et_is_unchanged():
    np.testing.assert_array_equal(drop_small_et(case(1, 2), min_et_ml=5, voxel_ml=1), case(1, 2))


@pytest.mark.parametrize(
    ("min_component_ml", "expected"),
    [
        (0.0, [3, 0, 1, 2, 0, 2, 2, 2]),
        (1.0, [3, 0, 1, 2, 0, 2, 2, 2]),
        (2.0, [0, 0, 1, 2, 0, 2, 2, 2]),
        (2.5, [0, 0, 0, 0, 0, 2, 2, 2]),
        (4.0, [0] * 8),
    ],
)
def test_components_below_the_minimum_volume_are_removed(min_component_ml, expected):
    labels = case(3, 0, 1, 2, 0, 2, 2, 2)  # components of 1, 2 and 3 ml
    kept = drop_small_components(labels, min_component_ml=min_component_ml, voxel_ml=1.0)
    assert kept.ravel().tolist() == expected


def test_voxels_that_share_a_corner_are_one_component():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1], labels[3, 3, 3] = 2, 3, 2
    kept = drop_small_components(labels, min_component_ml=2.0, voxel_ml=1.0)
    assert np.argwhere(kept).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_components_equal_those_of_a_flood_fill():
    """The oracle is SciPy's propagation of a single seed voxel through the mask."""
    labels = np.random.default_rng(0).choice([0, 0, 0, 0, 0, 0, 1, 2, 3], (12, 12, 12)).astype(np.uint8)
    kept = drop_small_components(labels, min_component_ml=4.0, voxel_ml=1.0)
    for voxel in np.argwhere(labels):
        seed = np.zeros(labels.shape, bool)
        seed[tuple(voxel)] = True
        component = ndimage.binary_propagation(seed, np.ones((3, 3, 3)), mask=labels > 0)
        assert kept[tuple(voxel)] == (labels[tuple(voxel)] if component.sum() >= 4 else 0)


def test_components_are_removed_before_et():
    # The speck of 1 ml is removed first; the remaining 2 ml of ET are below 3 ml.
    labels = case(3, 0, 3, 3, 2)
    cleaned = remove_small_parts(labels, min_component_ml=2.0, min_et_ml=3.0, voxel_ml=1.0)
    assert cleaned.ravel().tolist() == [0, 0, 1, 1, 2]


def ball(*, gap=0):
    """A shell of ET, 3 voxels thick, around oedema; a channel of oedema leads out of it along every axis."""
    place = np.stack(np.indices((21, 21, 21)), axis=-1) - 10
    distance = np.linalg.norm(place, axis=-1)
    labels = np.select([distance < 5, distance < 8, distance < 10], [2, 3, 2], 0).astype(np.uint8)
    for axis in range(3):
        across = np.abs(np.delete(place, axis, axis=-1)).max(axis=-1)
        labels[(across < gap) & (labels > 0)] = 2
    return labels


def test_oedema_inside_a_rim_becomes_core_and_oedema_around_it_does_not():
    filled = fill_core(ball())
    distance = np.linalg.norm(np.stack(np.indices((21, 21, 21)), axis=-1) - 10, axis=-1)
    expected = np.select([distance < 5, distance < 8, distance < 10], [1, 3, 2], 0)
    np.testing.assert_array_equal(filled, expected)


def test_an_open_rim_encloses_in_the_slices_where_it_is_closed():
    """Only the centre lies on all three channels, so that every slice through it is open."""
    filled = fill_core(ball(gap=1))
    inside = np.s_[6:15, 6:15, 6:15]
    assert (np.argwhere(filled[inside] == 2) + 6).tolist() == [[10, 10, 10]]
    assert filled[10, 10, 19] == 2  # a channel's end, beyond the rim


def test_only_oedema_is_filled():
    labels = ball()
    labels[9:12, 9:12, 9:12] = 0  # a cavity
    filled = fill_core(labels)
    assert not filled[9:12, 9:12, 9:12].any()
    assert filled[10, 10, 13] == 1


def test_labels_without_a_core_are_unchanged():
    labels = case(2, 0, 2)
    np.testing.assert_array_equal(fill_core(labels), labels)


def test_the_core_is_filled_after_thresholding():
    regions = np.zeros((3, 3, 1, 3), np.float32)
    regions[..., 0], regions[..., 1] = 0.9, 0.35
    regions[1, 1, 0, 1] = 0.1
    assert threshold_regions(regions, 0.3).ravel().tolist() == [1] * 9
    assert threshold_regions(regions, 0.4).ravel().tolist() == [2] * 9
