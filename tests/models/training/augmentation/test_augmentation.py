"""Augmentation depends on the seed alone, keeps the background empty, and drops modalities."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.models.training.augmentation import Augmentation, sample_modality_mask
from glioseg.models.training.augmentation.intensity import IntensityTransform, ResolutionTransform
from glioseg.models.training.augmentation.spatial import SpatialTransform

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = 4


def sample(seed: int, strength: float, modality_dropout: float) -> Augmentation:
    rng = np.random.default_rng(seed)
    return Augmentation.sample(rng, strength=strength, modality_dropout=modality_dropout)


def make_patch() -> tuple[np.ndarray, np.ndarray]:
    """A random patch with empty voxels around it; its label marks the bright voxels."""
    image = np.zeros((8, 7, 6, CHANNELS), np.float32)
    image[1:-1, 1:, :-1] = np.random.default_rng(0).normal(size=(6, 6, 5, CHANNELS))
    return image, (image[..., 0] > 0.5).astype(np.uint8) * 3


@given(SEEDS)
def test_without_strength_and_dropout_nothing_changes(seed: int) -> None:
    sampled = sample(seed, 0.0, 0.0)
    assert sampled == Augmentation()
    image, label = make_patch()
    changed = sampled.apply(image, label)
    np.testing.assert_array_equal(changed[0], image)
    np.testing.assert_array_equal(changed[1], label)


@given(SEEDS)
def test_the_same_seed_gives_the_same_augmentation(seed: int) -> None:
    one, two = sample(seed, 1.0, 0.5), sample(seed, 1.0, 0.5)
    assert one == two
    first, second = one.apply(*make_patch()), two.apply(*make_patch())
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_only_the_transformed_brain_has_values(seed: int, strength: float, dropout: float) -> None:
    sampled = sample(seed, strength, dropout)
    image, label = make_patch()
    changed, moved = sampled.apply(image, label)
    outside = ~sampled.spatial.apply(image, label)[0].any(axis=-1)
    assert not changed[outside].any()
    assert np.isfinite(changed).all()
    assert not changed[..., ~np.array(sampled.kept_modalities)].any()
    assert (changed.dtype, moved.dtype) == (np.float32, np.uint8)
    assert changed.shape == image.shape
    assert set(np.unique(moved)) <= {0, 3}


def test_dropped_modalities_are_zero_after_all_transforms() -> None:
    image, label = make_patch()
    intensity = IntensityTransform(gamma=(1.2,) * 4, contrast=(1.2,) * 4, shift=(0.3,) * 4, noise_std=0.1)
    resolution = ResolutionTransform(blur_vox=(1.0,) * 4)
    kept_modalities = (False, True, False, True)
    sampled = Augmentation(SpatialTransform(scale=1.1), resolution, intensity, kept_modalities)
    whole, _ = Augmentation(SpatialTransform(scale=1.1), resolution, intensity).apply(image, label)
    changed, _ = sampled.apply(image, label)
    assert not changed[..., [0, 2]].any()
    # Kept modalities are the same as without dropout.
    np.testing.assert_array_equal(changed[..., [1, 3]], whole[..., [1, 3]])


@pytest.mark.parametrize("seed", range(5))
def test_the_given_patch_is_not_modified(seed: int) -> None:
    image, label = make_patch()
    before = image.copy(), label.copy()
    sample(seed, 1.0, 1.0).apply(image, label)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_a_patch_without_brain_stays_empty() -> None:
    image, label = np.zeros((2, 2, 2, CHANNELS), np.float32), np.zeros((2, 2, 2), np.uint8)
    changed, _ = sample(0, 1.0, 0.0).apply(image, label)
    assert not changed.any()


def test_modality_dropout_samples_proper_subsets_uniformly() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(sample_modality_mask(rng, probability=1.0) for _ in range(14_000))
    assert set(counts) == {mask for mask in product([False, True], repeat=4) if any(mask) and not all(mask)}
    # 1,000 each, with a standard deviation of √(1,000 · 13/14) = 30.5.
    assert all(abs(count - 1000) < 4 * 30.5 for count in counts.values())


def test_modality_dropout_has_the_given_probability() -> None:
    rng = np.random.default_rng(0)
    dropped = [not all(sample_modality_mask(rng, probability=0.3)) for _ in range(2000)]
    # Three standard deviations: 3 √(0.3 · 0.7 / 2000) = 0.031.
    assert np.mean(dropped) == pytest.approx(0.3, abs=0.031)
    assert all(all(sample_modality_mask(rng, probability=0.0)) for _ in range(50))
