"""Expected values are counted by hand on cubes."""

import numpy as np
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.labels import Label
from glioseg.evaluation.overlap import confusion_matrix, mask_of, overlap, seed_dice, seed_weighted_dice

ET = [Label.ET]


def cube(start, stop, label=Label.ET, shape=(10, 10, 10)):
    labels = np.zeros(shape, np.uint8)
    labels[start:stop, start:stop, start:stop] = label
    return labels


def counts(truth, prediction, members=ET):
    return overlap(confusion_matrix(truth, prediction), members)


def test_two_cubes_of_4_that_share_one_of_3():
    # 4³ = 64 voxels each, 3³ = 27 shared, 1000 in the grid.
    overlap_vox = counts(cube(2, 6), cube(3, 7))
    assert (overlap_vox.hit_vox, overlap_vox.missed_vox, overlap_vox.false_vox, overlap_vox.rest_vox) == (
        27,
        37,
        37,
        899,
    )
    assert overlap_vox.dice == pytest.approx(2 * 27 / 128)
    assert overlap_vox.sensitivity == pytest.approx(27 / 64)
    assert overlap_vox.specificity == pytest.approx(899 / 936)


def test_the_same_cube_is_perfect():
    overlap_vox = counts(cube(2, 6), cube(2, 6))
    assert (overlap_vox.dice, overlap_vox.sensitivity, overlap_vox.specificity) == (1, 1, 1)


def test_empty_truth_and_empty_prediction_are_perfect():
    overlap_vox = counts(cube(0, 0), cube(0, 0))
    assert (overlap_vox.dice, overlap_vox.sensitivity, overlap_vox.specificity) == (1, 1, 1)


def test_empty_truth_with_a_prediction_has_the_worst_scores():
    overlap_vox = counts(cube(0, 0), cube(2, 6))
    assert (overlap_vox.dice, overlap_vox.sensitivity) == (0, 0)
    assert overlap_vox.specificity == pytest.approx((1000 - 64) / 1000)


def test_an_empty_prediction_has_the_worst_scores():
    overlap_vox = counts(cube(2, 6), cube(0, 0))
    assert (overlap_vox.dice, overlap_vox.sensitivity, overlap_vox.specificity) == (0, 0, 1)


def test_specificity_is_1_if_the_truth_fills_the_grid():
    assert counts(cube(0, 10), cube(2, 6)).specificity == 1


def test_labels_of_one_region_are_not_distinguished():
    truth, prediction = cube(2, 6, Label.NCR), cube(2, 6, Label.ET)
    assert counts(truth, prediction, [Label.NCR, Label.ET]).dice == 1
    assert counts(truth, prediction, [Label.NCR]).dice == 0


def test_different_grids_are_an_error():
    with pytest.raises(GliosegError, match=r"prediction: expected shape \(10, 10, 10\), got \(9, 10, 10\)"):
        confusion_matrix(cube(2, 6), cube(2, 6)[1:])


def test_every_pair_of_labels_has_its_own_count():
    truth, prediction = (x.astype(np.uint8) for x in np.indices((4, 4, 1))[:2])
    np.testing.assert_array_equal(confusion_matrix(truth, prediction), np.ones((4, 4)))


def test_mask_of_agrees_with_numpy():
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    np.testing.assert_array_equal(mask_of(labels, [Label.NCR, Label.ED]), np.isin(labels, [1, 2]))


@pytest.fixture
def uneven():
    """NCR: 8 voxels, all predicted; ED: 64 voxels, half predicted; ET: in neither."""
    truth = np.zeros((10, 10, 10), np.uint8)
    truth[:2, :2, :2] = Label.NCR
    truth[4:8, 4:8, 4:8] = Label.ED
    prediction = truth.copy()
    prediction[6:8, 4:8, 4:8] = Label.BACKGROUND
    return confusion_matrix(truth, prediction)


def test_seed_dice_sums_over_all_labels(uneven):
    assert seed_dice(uneven) == pytest.approx((2 * (8 + 32) + 1) / (16 + 96 + 1))


def test_seed_weighted_dice_is_the_mean_of_the_labels(uneven):
    assert seed_weighted_dice(uneven) == pytest.approx((1 + 64 / 96 + 1) / 3)


def test_seed_dice_of_an_empty_truth_and_prediction_is_1():
    nothing = confusion_matrix(cube(0, 0), cube(0, 0))
    assert seed_dice(nothing) == 1
    assert seed_weighted_dice(nothing) == 1


def test_seed_dice_of_an_empty_prediction():
    missed = confusion_matrix(cube(2, 6), cube(0, 0))  # 64 voxels of ET, and two labels empty in both
    assert seed_dice(missed) == pytest.approx(1 / 65)
    assert seed_weighted_dice(missed) == pytest.approx(2 / 3)


def test_seed_dice_of_an_empty_truth():
    invented = confusion_matrix(cube(0, 0), cube(2, 6))
    assert seed_dice(invented) == pytest.approx(1 / 65)
    assert seed_weighted_dice(invented) == pytest.approx(2 / 3)
