"""The orientation of the brain mask that nilearn ships, turned by each test."""

import numpy as np
import pytest
from nilearn import datasets

from glioseg.data.quality.orientation import (
    COARSE_MM,
    EDGE_VOX,
    TEMPLATE_OUTLINE,
    check_orientation,
    fitting_orientation,
)

MM = (3.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def brain():
    """A brain mask in LPS at 3 mm."""
    mask = datasets.load_mni152_brain_mask(resolution=3)  # RAS
    return np.asarray(mask.dataobj)[::-1, ::-1] > 0


def test_the_directions_of_the_axes_are_found(brain):
    assert fitting_orientation(brain, MM) == "LPS"
    assert fitting_orientation(brain[::-1, ::-1], MM) == "RAS"
    assert fitting_orientation(brain[::-1, :, ::-1], MM) == "RPI"
    assert fitting_orientation(brain.transpose(2, 0, 1), MM) == "SLP"


def test_the_outline_is_that_of_nilearn_s_template():
    intensity = datasets.load_mni152_template(resolution=COARSE_MM).get_fdata()[::-1, ::-1]
    outline = np.unpackbits(np.load(TEMPLATE_OUTLINE)).reshape((EDGE_VOX,) * 3)
    one, other = (np.argwhere(mask) for mask in (outline, intensity > 0.1))  # equal but for the position
    assert np.array_equal(one - one.min(axis=0), other - other.min(axis=0))


def test_a_mirror_image_cannot_be_told_from_the_brain(brain):
    assert fitting_orientation(brain[::-1], MM) == "LPS"


def test_a_ball_and_a_small_brain_show_no_orientation(brain):
    centred = np.stack(np.meshgrid(*[np.arange(-30, 31)] * 3, indexing="ij"))
    assert fitting_orientation((centred**2).sum(axis=0) < 25**2, MM) is None
    assert fitting_orientation(brain, (0.3, 0.3, 0.3)) is None
    assert fitting_orientation(brain & False, MM) is None


def test_the_text_names_the_directions_of_the_files_own_axes(brain):
    assert "not checked: left and right" in check_orientation(brain, MM, "LAS")
    # Read as LPS although the second and third axes point the other way; the file's first axis is the third.
    upside_down = brain[:, ::-1, ::-1]
    assert "fits ILA or IRA" in check_orientation(upside_down, MM, "SLP")
    assert "does not show" in check_orientation(brain & False, MM, "LPS")
