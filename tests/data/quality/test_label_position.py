"""Labels outside the brain, by arithmetic on given numbers and on a small grid."""

import numpy as np
import pytest

from glioseg.core.nifti import Grid
from glioseg.data.quality.label_position import measure_outside, position_row
from glioseg.params.contract import Contract

GRID = Grid((4, 6, 5), np.diag([-1.0, -2.0, 3.0, 1.0]))
BRAIN = np.zeros(GRID.shape, bool)
BRAIN[1, 1, 1] = True


def test_the_distance_of_the_farthest_label_is_in_mm() -> None:
    tumour = BRAIN.copy()
    tumour[1, 1, 3] = tumour[1, 2, 1] = True  # 2 voxels of 3 mm, and one of 2 mm, from the brain
    assert measure_outside(tumour, BRAIN, GRID) == {"outside_vox": 2, "outside_mm": 6}


def test_without_a_brain_or_an_affine_there_is_no_distance() -> None:
    assert measure_outside(BRAIN, ~BRAIN & False, GRID) == {"outside_vox": 1, "outside_mm": None}
    flat = Grid(GRID.shape, np.diag([1.0, 0, 1, 1]))
    assert measure_outside(BRAIN, ~BRAIN, flat) == {"outside_vox": 1, "outside_mm": None}


@pytest.mark.parametrize(
    ("tumour_vox", "outside_vox", "outside_mm", "warned", "misplaced"),
    [
        (100_000, 0, 0.0, False, False),
        (100_000, 1, 1.0, False, False),  # the five cases of BraTS 2018, source "2013": up to 21 of 100,000
        (100_000, 21, 1.0, False, False),
        (100_000, 100, 3.0, False, False),
        (100_000, 101, 3.0, True, False),  # more than 0.1 %
        (100_000, 21, 3.2, True, False),  # farther than 3 mm
        (100_000, 10_000, 9.0, True, False),
        (100_000, 10_001, 9.0, False, True),  # more than 10 %
        (20, 5, 1.0, True, False),  # a tumour of few voxels at the edge
        (20, 20, None, False, True),  # no brain
        (0, 0, 0.0, False, False),
        (None, None, None, False, False),
    ],
)
def test_a_tolerance_a_warning_and_a_refusal(
    tumour_vox: int | None, outside_vox: int | None, outside_mm: float | None, warned: bool, misplaced: bool
) -> None:
    row = position_row(tumour_vox, outside_vox, outside_mm, Contract())
    assert (row["labels_outside"] is not None, row["labels_misplaced"] is not None) == (warned, misplaced)


def test_the_text_states_share_and_distance() -> None:
    row = position_row(100_000, 250, 4.25, Contract())
    assert row["labels_outside"] == "250 voxels (0.25 %), up to 4.25 mm from the brain"
