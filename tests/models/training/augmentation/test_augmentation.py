"""Augmentation draws the same change for the same seed, and applies it to image and label alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.models.training.augmentation import Augmentation
from glioseg.models.training.augmentation.intensity import Brightness
from glioseg.models.training.augmentation.resolution import Sharpness
from glioseg.models.training.augmentation.spatial import Movement

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = 4


def draw(seed: int, strength: float, modality_dropout: float) -> Augmentation:
    rng = np.random.default_rng(seed)
    return Augmentation.draw(rng, strength=strength, modality_dropout=modality_dropout)


def make_patch() -> tuple[np.ndarray, np.ndarray]:
    """A random patch with empty voxels around it; its label marks the bright voxels."""
    image = np.zeros((8, 7, 6, CHANNELS), np.float32)
    image[1:-1, 1:, :-1] = np.random.default_rng(0).normal(size=(6, 6, 5, CHANNELS))
    return image, (image[..., 0] > 0.5).astype(np.uint8) * 3


@given(SEEDS)
def test_without_strength_and_dropout_nothing_changes(seed: int) -> None:
    drawn = draw(seed, 0.0, 0.0)
    assert drawn == Augmentation()
    image, label = make_patch()
    changed = drawn.apply(image, label)
    np.testing.assert_array_equal(changed[0], image)
    np.testing.assert_array_equal(changed[1], label)


@given(SEEDS)
def test_the_same_seed_draws_and_applies_the_same(seed: int) -> None:
    one, two = draw(seed, 1.0, 0.5), draw(seed, 1.0, 0.5)
    assert one == two
    first, second = one.apply(*make_patch()), two.apply(*make_patch())
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_the_moved_brain_alone_holds_values(seed: int, strength: float, dropout: float) -> None:
    drawn = draw(seed, strength, dropout)
    image, label = make_patch()
    changed, moved = drawn.apply(image, label)
    outside = ~drawn.movement.apply(image, label)[0].any(axis=-1)
    assert not changed[outside].any()
    assert np.isfinite(changed).all()
    assert not changed[..., ~np.array(drawn.kept)].any()
    assert (changed.dtype, moved.dtype) == (np.float32, np.uint8)
    assert changed.shape == image.shape
    assert set(np.unique(moved)) <= {0, 3}


def test_dropped_modalities_stay_zero_through_every_change() -> None:
    image, label = make_patch()
    brightness = Brightness(gamma=(1.2,) * 4, contrast=(1.2,) * 4, shift=(0.3,) * 4, noise=0.1)
    sharpness = Sharpness(blur_vox=(1.0,) * 4)
    kept = (False, True, False, True)
    drawn = Augmentation(Movement(scale=1.1), sharpness, brightness, kept)
    whole, _ = Augmentation(Movement(scale=1.1), sharpness, brightness).apply(image, label)
    changed, _ = drawn.apply(image, label)
    assert not changed[..., [0, 2]].any()
    # What stays is as bright as if nothing had been dropped.
    np.testing.assert_array_equal(changed[..., [1, 3]], whole[..., [1, 3]])


@pytest.mark.parametrize("seed", range(5))
def test_the_patch_that_is_given_stays_as_it_was(seed: int) -> None:
    image, label = make_patch()
    before = image.copy(), label.copy()
    draw(seed, 1.0, 1.0).apply(image, label)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_a_patch_without_brain_is_left_alone() -> None:
    image, label = np.zeros((2, 2, 2, CHANNELS), np.float32), np.zeros((2, 2, 2), np.uint8)
    changed, _ = draw(0, 1.0, 0.0).apply(image, label)
    assert not changed.any()
