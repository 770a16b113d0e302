"""Whether the foreground of an image is a brain: spheres with shells around them, whose volumes are known.

Labels outside the brain: arithmetic on given numbers and on a small grid.
"""

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality.brain_checks import (
    brain_row,
    extracerebral_share,
    measure_outside,
    measure_overlaps,
    position_row,
)
from glioseg.params.contract import Contract

SPACING_MM = (2.0, 2.0, 2.0)
SIDE = 110
GRID = Grid((SIDE,) * 3, np.diag([-2.0, -2.0, 2.0, 1.0]))
DISTANCE_MM = np.sqrt(sum(axis**2 for axis in np.ix_(*[(np.arange(SIDE) - (SIDE - 1) / 2) * 2] * 3)))
"""Distance of each voxel from the centre."""

SMALL_GRID = Grid((4, 6, 5), np.diag([-1.0, -2.0, 3.0, 1.0]))
SMALL_BRAIN = np.zeros(SMALL_GRID.shape, bool)
SMALL_BRAIN[1, 1, 1] = True


def sphere(radius_mm: float) -> np.ndarray:
    return (radius_mm > DISTANCE_MM) * 100


def head(brain_mm: float = 70, skull: int = 15, scalp: int = 140) -> np.ndarray:
    """A brain of 1437 ml at 70 mm, 7 mm of dark skull, and 8 mm of scalp."""
    values = np.zeros(DISTANCE_MM.shape, np.int16)
    for radius, value in ((brain_mm + 15, scalp), (brain_mm + 7, skull), (brain_mm, 100)):
        values[radius > DISTANCE_MM] = value
    return values


@pytest.mark.parametrize("scalp", [60, 100, 200])
@pytest.mark.parametrize("skull", [1, 15, 40])
def test_the_share_of_skull_and_scalp_is_measured(skull: int, scalp: int) -> None:
    # The brain is (70 / 85)^3 = 56 % of the head, and up to 5 mm of skull around it count as brain: 68 %.
    share = extracerebral_share(head(skull=skull, scalp=scalp), SPACING_MM)
    assert 1 - (75 / 85) ** 3 - 0.02 < share < 1 - (70 / 85) ** 3


def test_a_brain_alone_has_nothing_outside_it_and_a_small_image_no_share() -> None:
    assert extracerebral_share(sphere(70), SPACING_MM) < 0.01
    assert extracerebral_share(sphere(45), SPACING_MM) is None  # 382 ml


def test_what_is_larger_than_a_brain_is_not_only_brain() -> None:
    # A sphere of 90 mm has 3054 ml, of which 2000 may be brain.
    assert extracerebral_share(sphere(90), SPACING_MM) == pytest.approx(1 - 2000 / 3054, abs=0.01)


def test_an_image_with_another_brain_than_the_others_is_found() -> None:
    images = {role: Volume(sphere(60), GRID) for role in MODALITIES} | {"t1ce": Volume(head(60), GRID)}
    overlaps = measure_overlaps(images)
    # 2 · 60^3 / (60^3 + 75^3)
    assert overlaps.pop("t1ce") == pytest.approx(0.677, abs=0.01)
    assert overlaps == dict.fromkeys(("t1", "t2", "flair"), 1.0)
    assert measure_overlaps({"t1": images["t1"], "t2": Volume(sphere(0), GRID)}) == {}


def test_the_findings_state_what_was_measured() -> None:
    assert brain_row(True, 0.98, 0.04, Contract()) == {"background_text": None, "skull_text": None}
    assert brain_row(None, None, None, Contract()) == {"background_text": None, "skull_text": None}
    assert brain_row(False, 0.9, None, Contract())["background_text"] == "values everywhere"
    assert brain_row(True, 0.52, 0.38, Contract()) == {
        "background_text": "a brain whose Dice with theirs is 0.52",
        "skull_text": "38 % of the foreground outside it",
    }


def test_the_distance_of_the_farthest_label_is_in_mm() -> None:
    tumour = SMALL_BRAIN.copy()
    tumour[1, 1, 3] = tumour[1, 2, 1] = True  # 2 voxels of 3 mm, and one of 2 mm, from the brain
    assert measure_outside(tumour, SMALL_BRAIN, SMALL_GRID) == {"outside_vox": 2, "outside_mm": 6}


def test_without_a_brain_or_an_affine_there_is_no_distance() -> None:
    assert measure_outside(SMALL_BRAIN, ~SMALL_BRAIN & False, SMALL_GRID) == {
        "outside_vox": 1,
        "outside_mm": None,
    }
    flat = Grid(SMALL_GRID.shape, np.diag([1.0, 0, 1, 1]))
    assert measure_outside(SMALL_BRAIN, ~SMALL_BRAIN, flat) == {"outside_vox": 1, "outside_mm": None}


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
