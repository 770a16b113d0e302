import numpy as np
import pytest

from glioseg.nets.postprocess import choose_min_et_ml, drop_small_et


def case(*values):
    return np.array(values, np.uint8).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("min_et_ml", "expected"), [(0.0, [3, 3, 2, 0]), (2.0, [3, 3, 2, 0]), (2.1, [1, 1, 2, 0])]
)
def test_less_than_the_smallest_volume_becomes_core(min_et_ml, expected):
    assert drop_small_et(case(3, 3, 2, 0), min_et_ml=min_et_ml, voxel_ml=1.0).ravel().tolist() == expected


def test_a_case_without_et_stays():
    np.testing.assert_array_equal(drop_small_et(case(1, 2), min_et_ml=5, voxel_ml=1), case(1, 2))


def test_the_best_choice_drops_the_false_speck_and_keeps_the_true_tumour():
    false_speck = (case(1, 1, 1, 1), case(3, 1, 1, 1))
    true_tumour = (case(3, 3, 3, 1), case(3, 3, 3, 1))
    # At 2 ml the speck (1 ml) goes and the tumour (3 ml) stays: Dice 1 and 1; at 4 ml the tumour goes too.
    pairs = [false_speck, true_tumour]
    assert choose_min_et_ml(pairs, choices=(0, 2, 4), voxel_ml=1.0) == 2


def test_on_a_tie_the_largest_is_chosen():
    assert choose_min_et_ml([(case(3, 3), case(3, 3))], choices=(0, 1, 2, 3), voxel_ml=1.0) == 2
