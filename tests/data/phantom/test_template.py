"""Landmarks whose MNI coordinates are in any atlas."""

import numpy as np
import pytest

from glioseg.data.phantom.template import LPS, ORIGIN_VOX, load_template


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(
    ("name", "landmark_mm", "low", "high"),
    [
        ("white", (26, 32, 18), 0.9, 1),  # white matter of the frontal lobe
        ("grey", (12, 10, 14), 0.9, 1),  # head of the caudate nucleus
        ("ventricles", (22, -40, 12), 255, 255),  # atrium of the lateral ventricle
        ("ventricles", (26, 32, 18), 0, 0),
        ("cerebrum", (26, 32, 18), 250, 255),
        ("cerebrum", (30, -65, -40), 0, 5),  # cerebellum
        ("border_sharpness", (12, -18, 8), 0, 50),  # thalamus
        ("iron", (19, -6, -1), 250, 255),  # globus pallidus
    ],
)
def test_a_map_has_the_expected_value_at_a_landmark(name, landmark_mm, low, high, side):
    voxel = np.rint(ORIGIN_VOX + LPS * np.array(landmark_mm) * [side, 1, 1]).astype(int)
    assert low <= getattr(load_template(), name)[tuple(voxel)] <= high


def test_the_soft_mask_is_0_outside_the_head_and_255_inside():
    soft_mask = load_template().soft_mask
    assert (soft_mask[0, 0, 0], soft_mask[tuple(ORIGIN_VOX.astype(int))]) == (0, 255)


def test_grey_and_white_matter_are_probabilities():
    total = load_template().grey + load_template().white
    assert 0 <= total.min() <= total.max() <= 1
