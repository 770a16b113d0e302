"""Brain masks compared with NumPy's `any` over the modalities."""

import numpy as np
import pytest

from glioseg.core.brain import brain_mask, brain_mask_of_channels


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float16", "float32"])
@pytest.mark.parametrize("modalities", [1, 2, 4])
def test_a_voxel_is_brain_if_any_modality_is_not_0(dtype, modalities):
    image = np.random.default_rng(0).integers(0, 3, (5, 6, 7, modalities)).astype(dtype)
    expected = (image != 0).any(axis=-1)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(brain_mask_of_channels(image), expected)
    np.testing.assert_array_equal(brain_mask(image[..., c] for c in range(modalities)), expected)


def test_negative_values_and_nan_are_brain():
    assert brain_mask([np.array([-1.0, np.nan, 0.0])]).tolist() == [True, True, False]


def test_images_are_unchanged():
    masks = [np.array([True, False]), np.array([False, True])]
    brain_mask(masks)
    assert [mask.tolist() for mask in masks] == [[True, False], [False, True]]
