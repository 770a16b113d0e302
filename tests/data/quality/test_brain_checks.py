"""Whether the foreground of an image is a brain: spheres with shells around them, whose volumes are known."""

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality.brain_checks import brain_row, extracerebral_share, measure_overlaps
from glioseg.params.contract import Contract

SPACING_MM = (2.0, 2.0, 2.0)
SIDE = 110
GRID = Grid((SIDE,) * 3, np.diag([-2.0, -2.0, 2.0, 1.0]))
DISTANCE_MM = np.sqrt(sum(axis**2 for axis in np.ix_(*[(np.arange(SIDE) - (SIDE - 1) / 2) * 2] * 3)))
"""Distance of each voxel from the centre."""


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
