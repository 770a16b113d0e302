import numpy as np
import pytest
from sklearn.metrics import f1_score

from glioseg.core.dice import dice_from_counts, dice_per_channel


@pytest.mark.parametrize(
    ("shared", "total", "smooth", "dice"),
    [(0, 0, 0.0, 1.0), (0, 7, 0.0, 0.0), (3, 8, 0.0, 0.75), (0, 0, 1.0, 1.0), (3, 8, 1.0, 7 / 9)],
)
def test_dice_by_hand(shared, total, smooth, dice):
    assert dice_from_counts(shared, total, smooth_vox=smooth) == dice


def test_empty_structures_among_others_get_their_rule():
    assert dice_from_counts(np.array([2, 0, 0]), np.array([4, 0, 3])).tolist() == [1.0, 1.0, 0.0]


def test_each_channel_is_the_f1_score_of_its_voxels():
    rng = np.random.default_rng(0)
    truth, prediction = rng.random((2, 6, 5, 4, 3)) < 0.4
    expected = [f1_score(truth[..., c].ravel(), prediction[..., c].ravel()) for c in range(3)]
    assert dice_per_channel(truth, prediction) == pytest.approx(expected)


def test_two_empty_channels_agree():
    masks = np.zeros((4, 4, 4, 2), bool)
    masks[0, 0, 0, 0] = True
    assert dice_per_channel(masks, masks).tolist() == [1.0, 1.0]
    assert dice_per_channel(masks, masks & False).tolist() == [0.0, 1.0]
