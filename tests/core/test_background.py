"""The background of an image whose background is not 0: the brain is what it was."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from glioseg.core.background import has_zero_background, with_zero_background, zero_background
from glioseg.core.nifti import Grid, Volume

SHAPE = (40, 48, 36)
AWAY = [(np.arange(n) - (n - 1) / 2) / r for n, r in zip(SHAPE, (14, 17, 12), strict=True)]
BRAIN = sum(axis**2 for axis in np.ix_(*AWAY)) < 1
RNG = np.random.default_rng(0)
IMAGE = (RNG.integers(200, 1000, SHAPE) * BRAIN).astype(np.int16)
NOISE = RNG.random(SHAPE)


def standardised(image: np.ndarray) -> np.ndarray:
    return ((image - image.mean()) / image.std()).astype(np.float32)


def standardised_in_the_brain(image: np.ndarray) -> np.ndarray:
    values = image.astype(np.float32)
    values[BRAIN] = standardised(values[BRAIN])
    return values


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_an_image_whose_background_is_0_is_the_same_object(dtype: type) -> None:
    image = (IMAGE // 4).astype(dtype)
    assert zero_background(image) is image
    volume = Volume(image, Grid(SHAPE, np.eye(4)))
    assert with_zero_background(volume) is volume


@pytest.mark.parametrize(
    "image", [standardised_in_the_brain(IMAGE), np.zeros(SHAPE), IMAGE * 0 + 5, IMAGE[20:22]]
)
def test_a_standardised_brain_an_empty_image_and_a_part_of_a_brain_are_unchanged(image: np.ndarray) -> None:
    np.testing.assert_array_equal(zero_background(image) != 0, image != image[0, 0, 0])


# Each change of the image, and the factor of intensities in the brain that remains.
CHANGED: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "1e-4": (lambda image: np.where(image, image, 1e-4), 1),
    "noise of 1e-4": (lambda image: image + 1e-4 * NOISE, 1),
    "standardised": (standardised, 1 / IMAGE.std()),
    "slope 1.7, intercept -100": (lambda image: image * 1.7 - 100, 1.7),
    "int16 from -1024": (lambda image: (image - 1024).astype(np.int16), 1),
    "from -1 to 1": (lambda image: image / 500 - 1, 1 / 500),
    "inverted": (lambda image: 3000 - image, -1),
}


@pytest.mark.parametrize("name", CHANGED)
def test_the_background_becomes_0_and_the_brain_keeps_its_differences(name: str) -> None:
    change, factor = CHANGED[name]
    changed = change(IMAGE)
    assert not has_zero_background(changed)
    result = zero_background(changed)
    np.testing.assert_array_equal(result != 0, BRAIN)
    np.testing.assert_allclose(result, IMAGE * factor, rtol=1e-3, atol=1e-3 * abs(factor))
    assert zero_background(result) is result


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_the_ringing_of_a_cubic_interpolation_is_background(dtype: type) -> None:
    moved = ndimage.shift(600 * BRAIN.astype(np.float32), 0.5, order=3)
    share = ndimage.shift(BRAIN.astype(np.float32), 0.5, order=1)
    ringing = np.rint(moved).astype(dtype) if dtype == np.int16 else moved
    result = zero_background(ringing) != 0
    assert np.count_nonzero(ringing) > 1.4 * np.count_nonzero(share)
    assert result[share == 1].all()
    # Diagonally beside the brain, two dark lobes multiply to a bright one.
    assert np.count_nonzero(result[share == 0]) < 0.02 * np.count_nonzero(share)


def test_noise_around_a_brain_is_background() -> None:
    noisy = np.hypot(IMAGE + RNG.normal(0, 10, SHAPE), RNG.normal(0, 10, SHAPE))
    result = zero_background(noisy) != 0
    assert np.count_nonzero(result ^ BRAIN) < 0.01 * BRAIN.sum()


@pytest.mark.parametrize("image", [NOISE * 1000, np.where(BRAIN, np.nan, 3.0), np.zeros((0, 1, 1))])
def test_without_a_background_the_image_is_unchanged(image: np.ndarray) -> None:
    assert zero_background(image) is image


def test_without_a_background_there_is_none() -> None:
    assert not has_zero_background(NOISE)
