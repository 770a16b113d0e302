import numpy as np
import pytest

from glioseg.models.training.augmentation.intensity import IntensityTransform


def test_contrast_and_shift_by_hand_and_by_modality() -> None:
    image = np.full((1, 1, 2, 4), 2.0, np.float32)
    image[0, 0, 1] = 4.0
    sampled = IntensityTransform(contrast=(1.0, 1.5, 1.0, 1.0), shift=(0.0, 0.0, -1.0, 0.0))
    changed = sampled.apply(image, np.ones((1, 1, 2), bool))
    np.testing.assert_allclose(changed[0, 0], [[2, 3, 1, 2], [4, 6, 3, 4]])


def test_gamma_keeps_the_darkest_and_the_brightest_voxel() -> None:
    image = np.repeat(np.array([1.0, 2.0, 3.0], np.float32).reshape(1, 1, 3, 1), 4, axis=-1)
    changed = IntensityTransform(gamma=(2.0, 1.0, 1.0, 0.5)).apply(image, np.ones((1, 1, 3), bool))
    # In the middle: 0.5² = 0.25 and √0.5, times the span of 2, from 1.
    np.testing.assert_allclose(changed[0, 0, :, 0], [1, 1.5, 3], rtol=1e-6)
    np.testing.assert_allclose(changed[0, 0, :, 1], [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(changed[0, 0, :, 3], [1, 1 + np.sqrt(2), 3], rtol=1e-6)


def test_noise_has_its_standard_deviation() -> None:
    image = np.ones((20, 20, 20, 4), np.float32)
    changed = IntensityTransform(noise_std=0.2, noise_seed=1).apply(image, np.ones((20, 20, 20), bool))
    # 32,000 draws: the standard error of the deviation is 0.2 / √64,000 = 0.0008.
    assert (changed - image).std() == pytest.approx(0.2, abs=0.004)
    # Each modality has separate noise: 8,000 pairs correlate by less than 4.5 / √8,000.
    assert abs(np.corrcoef(changed.reshape(-1, 4).T)[0, 1]) < 0.05


def test_only_the_brain_changes() -> None:
    image, brain = np.zeros((2, 2, 2, 4), np.float32), np.zeros((2, 2, 2), bool)
    brain[0] = True
    sampled = IntensityTransform(gamma=(1.3,) * 4, contrast=(1.2,) * 4, shift=(0.5,) * 4, noise_std=0.1)
    changed = sampled.apply(image, brain)
    assert changed[brain].all()
    assert not changed[~brain].any()
    assert not sampled.apply(image, np.zeros_like(brain)).any()


def test_each_transform_has_its_own_probability() -> None:
    rng = np.random.default_rng(0)
    sampled = [IntensityTransform.sample(rng, strength=0.5) for _ in range(2000)]
    # Half of 0.6, 0.3, 0.3 and 0.2; three standard deviations of 2000 draws are 0.031 at most.
    changes = [
        (b.gamma != (1,) * 4, b.contrast != (1,) * 4, b.shift != (0,) * 4, b.noise_std != 0) for b in sampled
    ]
    np.testing.assert_allclose(np.mean(changes, axis=0), [0.3, 0.15, 0.15, 0.1], atol=0.031)
    assert max(b.noise_std for b in sampled) <= np.sqrt(0.1)
