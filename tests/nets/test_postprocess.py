import numpy as np
import pytest
from scipy import ndimage

from glioseg.nets.postprocess import choose_sizes, clean, drop_small_components, drop_small_et


def case(*values):
    return np.array(values, np.uint8).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("min_et_ml", "expected"), [(0.0, [3, 3, 2, 0]), (2.0, [3, 3, 2, 0]), (2.1, [1, 1, 2, 0])]
)
def test_less_than_the_smallest_volume_becomes_core(min_et_ml, expected):
    assert drop_small_et(case(3, 3, 2, 0), min_et_ml=min_et_ml, voxel_ml=1.0).ravel().tolist() == expected


def test_a_case_without_et_stays():
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
def test_pieces_smaller_than_the_smallest_volume_go(min_component_ml, expected):
    labels = case(3, 0, 1, 2, 0, 2, 2, 2)  # pieces of 1, 2 and 3 ml
    kept = drop_small_components(labels, min_component_ml=min_component_ml, voxel_ml=1.0)
    assert kept.ravel().tolist() == expected


def test_voxels_that_share_a_corner_are_one_piece():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1], labels[3, 3, 3] = 2, 3, 2
    kept = drop_small_components(labels, min_component_ml=2.0, voxel_ml=1.0)
    assert np.argwhere(kept).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_pieces_as_another_algorithm_finds_them():
    """SciPy's flood of a single seed, grown through the mask, is the oracle."""
    labels = np.random.default_rng(0).choice([0, 0, 0, 0, 0, 0, 1, 2, 3], (12, 12, 12)).astype(np.uint8)
    kept = drop_small_components(labels, min_component_ml=4.0, voxel_ml=1.0)
    for voxel in np.argwhere(labels):
        seed = np.zeros(labels.shape, bool)
        seed[tuple(voxel)] = True
        piece = ndimage.binary_propagation(seed, np.ones((3, 3, 3)), mask=labels > 0)
        assert kept[tuple(voxel)] == (labels[tuple(voxel)] if piece.sum() >= 4 else 0)


def test_components_go_before_et_is_weighed():
    # The speck (1 ml) goes first; the 2 ml of ET that are left are then less than 3 ml.
    labels = case(3, 0, 3, 3, 2)
    cleaned = clean(labels, min_component_ml=2.0, min_et_ml=3.0, voxel_ml=1.0)
    assert cleaned.ravel().tolist() == [0, 0, 1, 1, 2]


def test_the_best_pair_is_chosen():
    dice = np.array([[0.5, 0.6, 0.5], [0.5, 0.7, 0.5]])
    assert choose_sizes(dice, components=(0.0, 0.1), ets=(0.0, 0.2, 0.4)) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], (0.0, 0.2)),  # all alike: the larger ET size, the smaller component
        ([[0.4, 0.4], [0.5, 0.5]], (0.1, 0.2)),
        ([[0.5, 0.4], [0.4, 0.5]], (0.1, 0.2)),  # ET's size decides first
    ],
)
def test_ties(dice, expected):
    assert choose_sizes(np.array(dice), components=(0.0, 0.1), ets=(0.0, 0.2)) == expected
