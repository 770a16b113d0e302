"""The Dice that chooses the best epoch, and the grid that it is measured on."""

import numpy as np
import pytest

from glioseg.data.store.cropped_store import StoredCase
from glioseg.models.training.validation import common_shape, hard_dice


@pytest.mark.parametrize(
    ("truth", "answer", "dice"),
    [
        ([1, 1, 0, 0], [1, 0, 0, 0], 2 / 3),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),  # both empty
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0),  # empty truth
        ([1, 1, 0, 0], [0, 0, 0, 0], 0.0),  # empty answer
    ],
)
def test_hard_dice_by_hand(truth: list[int], answer: list[int], dice: float) -> None:
    a, b = (np.array(voxels, bool).reshape(1, 1, 4, 1) for voxels in (truth, answer))
    assert hard_dice(a, b)[0] == pytest.approx(dice)


def test_one_grid_holds_every_case(toys: list[StoredCase]) -> None:
    # Every toy is (13, 16, 11).
    assert common_shape(toys, spacing_mm=1, multiple=4) == (16, 16, 12)
