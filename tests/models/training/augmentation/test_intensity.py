import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from glioseg.models.training.augmentation.intensity import (
    IntensityTransform,
    ResolutionTransform,
    downsampling_matrix,
)

SHAPE = (12, 10, 9)


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


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*SHAPE, 4)).astype(np.float32)


def test_blur_of_one_modality_equals_scipys(image: np.ndarray) -> None:
    blurred = ResolutionTransform(blur_vox=(0.0, 1.2, 0.0, 0.0)).apply(image, np.ones(SHAPE, bool))
    np.testing.assert_allclose(blurred[..., 1], gaussian_filter(image[..., 1], 1.2), atol=1e-5)
    np.testing.assert_array_equal(blurred[..., [0, 2, 3]], image[..., [0, 2, 3]])
    assert blurred.mean() == pytest.approx(image.mean(), abs=1e-6)


def test_low_resolution_by_hand() -> None:
    # Length 4, factor 2: two coarse voxels, each the mean of two, upsampled at 1/4 and 3/4 between them.
    line = np.array([0, 2, 4, 6], np.float32)
    assert (downsampling_matrix(4, 2.0) @ line).tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("downsampling", [1.0, 1.3, 2.0])
def test_low_resolution_keeps_a_constant(downsampling: float) -> None:
    image = np.full((*SHAPE, 4), 3, np.float32)
    coarse = ResolutionTransform(downsampling=(downsampling,) * 4).apply(image, np.ones(SHAPE, bool))
    np.testing.assert_allclose(coarse, image, rtol=1e-6)


def test_low_resolution_removes_fine_detail(image: np.ndarray) -> None:
    coarse = ResolutionTransform(downsampling=(2.0, 1.0, 1.0, 1.0)).apply(image, np.ones(SHAPE, bool))
    assert coarse[..., 0].std() < 0.7 * image[..., 0].std()
    np.testing.assert_array_equal(coarse[..., 1:], image[..., 1:])


def test_nothing_leaks_out_of_the_brain(image: np.ndarray) -> None:
    brain = np.zeros(SHAPE, bool)
    brain[3:8, 3:8, 3:8] = True
    changed = ResolutionTransform(blur_vox=(1.5,) * 4, downsampling=(2.0,) * 4).apply(
        image * brain[..., None], brain
    )
    assert not changed[~brain].any()
    assert changed[brain].any()


def test_each_transform_has_its_own_probability_in_half_of_the_modalities() -> None:
    rng = np.random.default_rng(0)
    sampled = [ResolutionTransform.sample(rng, strength=0.5) for _ in range(2000)]
    blurs, factors = np.array([s.blur_vox for s in sampled]), np.array([s.downsampling for s in sampled])
    # Probabilities of 0.2 and 0.25, times one half; three standard deviations of 2000 draws are 0.022.
    np.testing.assert_allclose((blurs > 0).mean(axis=0), 0.1, atol=0.022)
    np.testing.assert_allclose((factors > 1).mean(axis=0), 0.125, atol=0.022)
    assert blurs[blurs > 0].min() >= 0.5
    assert blurs.max() <= 1.5
    assert factors.max() <= 2
