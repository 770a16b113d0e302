"""Augmentation draws the same change for the same seed, and applies it to image and label alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.data.augment import Augmentation

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = 4


def make_patch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A random patch with empty voxels around it; its label marks the bright voxels."""
    rng = np.random.default_rng(seed)
    image = np.zeros((6, 5, 4, CHANNELS), np.float32)
    image[1:-1, 1:, :-1] = rng.normal(size=(4, 4, 3, CHANNELS))
    return image, (image[..., 0] > 0.5).astype(np.uint8)


@given(SEEDS)
def test_strength_zero_changes_nothing(seed: int) -> None:
    drawn = Augmentation.draw(np.random.default_rng(seed), strength=0.0)
    image, label = make_patch()
    changed = drawn.apply(image, label)
    np.testing.assert_array_equal(changed[0], image)
    np.testing.assert_array_equal(changed[1], label)


@given(SEEDS)
def test_the_same_seed_draws_and_applies_the_same(seed: int) -> None:
    one, two = (Augmentation.draw(np.random.default_rng(seed), strength=1.0) for _ in range(2))
    assert one == two
    patch = make_patch()
    np.testing.assert_array_equal(one.apply(*patch)[0], two.apply(*patch)[0])


@given(SEEDS, st.floats(0, 1))
def test_voxels_outside_the_brain_stay_zero(seed: int, strength: float) -> None:
    drawn = Augmentation.draw(np.random.default_rng(seed), strength=strength)
    image, label = make_patch()
    changed, _ = drawn.apply(image, label)
    outside = np.flip(~image.any(axis=-1), [a for a in range(3) if drawn.flip[a]])
    assert not changed[outside].any()
    assert np.isfinite(changed).all()
    assert changed.dtype == np.float32


def test_the_patch_that_is_given_stays_as_it_was() -> None:
    image, label = make_patch()
    before = image.copy()
    Augmentation(scale=(2.0,) * CHANNELS, noise=1.0).apply(image, label)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_image_and_label_are_flipped_together(axis: int) -> None:
    image, label = make_patch()
    flip = (axis == 0, axis == 1, axis == 2)
    flipped_image, flipped_label = Augmentation(flip=flip).apply(image, label)
    np.testing.assert_array_equal(flipped_image, np.flip(image, axis))
    np.testing.assert_array_equal(flipped_label, flipped_image[..., 0] > 0.5)


def test_scale_and_shift_by_hand_and_by_modality() -> None:
    image = np.full((1, 1, 2, CHANNELS), 2.0, np.float32)
    image[0, 0, 1] = 4.0
    drawn = Augmentation(scale=(1.0, 1.5, 1.0, 1.0), shift=(0.0, 0.0, -1.0, 0.0))
    changed, _ = drawn.apply(image, np.zeros((1, 1, 2), np.uint8))
    np.testing.assert_allclose(changed[0, 0], [[2, 3, 1, 2], [4, 6, 3, 4]])


def test_gamma_bends_between_the_darkest_and_the_brightest_voxel() -> None:
    image = np.repeat(np.array([1.0, 2.0, 3.0], np.float32).reshape(1, 1, 3, 1), CHANNELS, axis=-1)
    drawn = Augmentation(gamma=(2.0, 1.0, 1.0, 0.5))
    changed, _ = drawn.apply(image, np.zeros((1, 1, 3), np.uint8))
    # Half way up: 0.5² = 0.25 and √0.5, times the span of 2, from 1.
    np.testing.assert_allclose(changed[0, 0, :, 0], [1, 1.5, 3], rtol=1e-6)
    np.testing.assert_allclose(changed[0, 0, :, 3], [1, 1 + np.sqrt(2), 3], rtol=1e-6)


def test_noise_has_its_standard_deviation() -> None:
    image = np.ones((20, 20, 20, CHANNELS), np.float32)
    changed, _ = Augmentation(noise=0.2, noise_seed=1).apply(image, np.zeros((20, 20, 20), np.uint8))
    # 32,000 draws: the standard error of the deviation is 0.2 / √64,000 = 0.0008.
    assert (changed - image).std() == pytest.approx(0.2, abs=0.004)


def test_a_patch_without_brain_is_left_alone() -> None:
    image, label = np.zeros((2, 2, 2, CHANNELS), np.float32), np.zeros((2, 2, 2), np.uint8)
    changed, _ = Augmentation.draw(np.random.default_rng(0), strength=1.0).apply(image, label)
    assert not changed.any()
