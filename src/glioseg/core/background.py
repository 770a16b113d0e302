"""The background of a skull-stripped image: found where its value is not 0, and set to 0.

All other parts of glioseg take the voxels that are not 0 as the brain. Processing may change the value of the
background: standardisation of the whole volume, a header with an intercept, or interpolation, which rings.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.nifti import Volume

SAMPLED_VOX = 300_000
"""Approximate number of voxels from which the level of the background is estimated."""

FAINT = 0.01
"""Intensities below 1 % of percentile 99 are faint."""

MAX_FAINT, MAX_FAINT_STANDARDISED = 0.05, 0.3
"""Maximum share of faint voxels among those that are not 0, if the background is 0. Of the brains of 56 real
volumes at most 0.3 % are faint, or 5.2 % if the brain was standardised to mean 0. With ringing it is at least
8 % in whole numbers, and 75 % in floating-point numbers."""

MIN_ZERO = 0.05
"""Minimum share of voxels of 0 in an image with a background of 0."""

MIN_BACKGROUND = 0.25
"""Minimum share of voxels near one value that makes it the background. A box around a brain has half."""

STRONG, MIN_MINORITY = 0.2, 0.05
"""The brain lies on both sides of the background if at least 5 % of the voxels that differ from it by more
than 20 % of percentile 99 lie on the other side."""

BINS = 256
"""Bins of the histogram in which a background without a single value is found."""

NOISE_DEVIATIONS, MIN_CONTRAST = 5, 0.02
"""A voxel belongs to the brain if it differs from the background by more than 5 standard deviations of its
noise, and by more than 2 % of percentile 99."""

MIN_COMPONENT = 0.1
"""Smaller components of the brain, relative to the largest, are background."""


class Level(NamedTuple):
    """Value of a background, its largest difference from it, and percentile 99 of differences from it."""

    value: float
    tolerance: float
    scale: float


def has_zero_background(image: Num[NDArray, "d h w"]) -> bool:
    """Whether the image is exactly 0 outside the brain.

    Args:
        image: finite voxels.

    >>> image = np.zeros((9, 9, 9)); image[3:6, 3:6, 3:6] = 100
    >>> has_zero_background(image), has_zero_background(image - 1), has_zero_background(image[3:6])
    (True, False, True)
    """
    sample = _sample(image)
    foreground = sample[sample != 0].astype(np.float64)
    if foreground.size in (0, sample.size):
        return bool(foreground.size == 0)
    scale = float(np.percentile(np.abs(foreground), 99))
    faint = np.count_nonzero(np.abs(foreground) < FAINT * scale)
    max_faint = MAX_FAINT if _side(foreground, scale) else MAX_FAINT_STANDARDISED
    return bool(foreground.size <= (1 - MIN_ZERO) * sample.size and faint <= max_faint * foreground.size)


def zero_background(image: Num[NDArray, "d h w"]) -> Num[NDArray, "d h w"]:
    """The image with a background of 0: unchanged if it has that, or if no background can be found.

    The background is the most frequent value, and the brain is what differs from it: the large connected
    components, without holes. The value of the background is subtracted, so that intensities are as they
    would be with a background of 0.

    >>> image = np.zeros((9, 9, 9), np.int16); image[3:6, 3:6, 3:6] = 100
    >>> zero_background(image) is image
    True
    >>> np.array_equal(zero_background(image - 7), image)
    True
    """
    if image.size == 0 or not np.isfinite(image).all() or has_zero_background(image):
        return image
    level = _find_level(_sample(image).astype(np.float64))
    if level is None:
        return image
    values = image.astype(np.result_type(image.dtype, np.float32)) - level.value
    # Ringing beside a brain that is brighter than the background is darker than it, so one side counts.
    side = _side(values, level.scale)
    brain = _large_components((side * values if side else np.abs(values)) > level.tolerance)
    values *= brain
    return values


def with_zero_background(volume: Volume) -> Volume:
    """The volume of a modality with a background of 0; the same object if nothing changes."""
    data = zero_background(volume.data) if volume.is_numeric else volume.data
    return volume if data is volume.data else replace(volume, data=data)


def _sample(image: Num[NDArray, "d h w"]) -> Num[NDArray, " voxels"]:
    step = max(1, round((image.size / SAMPLED_VOX) ** (1 / 3)))
    sample: NDArray = image[::step, ::step, ::step].ravel()
    return sample


def _find_level(sample: NDArray[np.float64]) -> Level | None:
    """The background level of sampled voxels, or None if no value is frequent enough."""
    values, counts = np.unique(sample, return_counts=True)
    value = float(values[counts.argmax()])
    if counts.max() < MIN_BACKGROUND * sample.size:
        low, high = np.percentile(sample, (0.5, 99.5))
        frequencies, edges = np.histogram(sample, BINS, (low, high))
        at = int(frequencies.argmax())
        near = sample[(sample >= edges[max(at - 2, 0)]) & (sample <= edges[min(at + 3, BINS)])]
        if near.size < MIN_BACKGROUND * sample.size:
            return None
        value = float(np.median(near))
    away = np.abs(sample - value)
    scale = float(np.percentile(away, 99))
    noise = 1.4826 * float(np.median(away[away < 0.1 * scale])) if scale else 0.0
    return Level(value, max(NOISE_DEVIATIONS * noise, MIN_CONTRAST * scale), scale)


def _side(values: Num[NDArray, "..."], scale: float) -> int:
    """1 if the brain is brighter than a background of 0, -1 if it is darker, 0 if it lies on both sides."""
    bright = np.count_nonzero(values > STRONG * scale)
    dark = np.count_nonzero(values < -STRONG * scale)
    if min(bright, dark) >= MIN_MINORITY * (bright + dark):
        return 0
    return 1 if bright > dark else -1


def _large_components(mask: Bool[NDArray, "d h w"]) -> Bool[NDArray, "d h w"]:
    """The large connected components of a mask, with their holes filled."""
    components, _ = ndimage.label(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    large: NDArray[np.bool_] = sizes >= max(MIN_COMPONENT * sizes.max(), 1)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(large[components])
    return filled
