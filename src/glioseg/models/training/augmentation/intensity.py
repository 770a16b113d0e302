"""Changed intensities inside the brain: gamma, contrast, brightness, noise, blur, and lower resolution."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from glioseg.core.modalities import MODALITIES

CHANNELS = len(MODALITIES)

GAMMA_PROBABILITY, CONTRAST_PROBABILITY, BRIGHTNESS_PROBABILITY, NOISE_PROBABILITY = 0.6, 0.3, 0.3, 0.2
"""Probabilities at strength 1: twice nnU-Net's."""
GAMMA_RANGE = (0.7, 1.5)
CONTRAST_RANGE = (0.75, 1.25)
MAX_NOISE_VARIANCE = 0.1
"""nnU-Net's ranges (Isensee et al. 2021; batchgenerators), for images of unit variance."""
MAX_SHIFT = 0.3
"""Largest change of brightness, in standard deviations of the brain."""
BLUR_PROBABILITY = 0.4
LOW_RESOLUTION_PROBABILITY = 0.5
CHANNEL_PROBABILITY = 0.5
"""Probabilities for a patch at strength 1, twice nnU-Net's, and for each modality of such a patch."""
BLUR_RANGE_VOX = (0.5, 1.5)
DOWNSAMPLING_FACTORS = (1.0, 2.0)
"""nnU-Net's ranges (Isensee et al. 2021) of the Gaussian's standard deviation and the downsampling factor."""

PerChannel = tuple[float, ...]


@dataclass(frozen=True)
class IntensityTransform:
    """A sampled intensity transform; the default is the identity.

    `gamma`, `contrast` (a factor) and `shift` (of brightness) have a value for each modality; `noise_std`:
    standard deviation of the noise; `noise_seed`: its seed. Units are those of the normalised image, whose
    brain has mean 0 and standard deviation 1.
    """

    gamma: PerChannel = (1.0,) * CHANNELS
    contrast: PerChannel = (1.0,) * CHANNELS
    shift: PerChannel = (0.0,) * CHANNELS
    noise_std: float = 0.0
    noise_seed: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float) -> "IntensityTransform":
        """A random transform; the identity at strength 0."""
        probabilities = np.array(
            [GAMMA_PROBABILITY, CONTRAST_PROBABILITY, BRIGHTNESS_PROBABILITY, NOISE_PROBABILITY]
        )
        has_gamma, has_contrast, has_shift, has_noise = rng.random(4) < probabilities * strength
        gamma, contrast = rng.uniform(*GAMMA_RANGE, CHANNELS), rng.uniform(*CONTRAST_RANGE, CHANNELS)
        shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, CHANNELS)
        variance, seed = rng.uniform(0, MAX_NOISE_VARIANCE), rng.integers(2**32)
        return cls(
            gamma=tuple(gamma.tolist()) if has_gamma else cls.gamma,
            contrast=tuple(contrast.tolist()) if has_contrast else cls.contrast,
            shift=tuple(shift.tolist()) if has_shift else cls.shift,
            noise_std=float(np.sqrt(variance)) if has_noise else cls.noise_std,
            noise_seed=int(seed) if has_noise else cls.noise_seed,
        )

    def apply(
        self, image: Float32[NDArray, "d h w c"], brain: Bool[NDArray, "d h w"]
    ) -> Float32[NDArray, "d h w c"]:
        """The patch with changed intensities inside the brain."""
        if self == IntensityTransform() or not brain.any():
            return image
        rng, channels = np.random.default_rng(self.noise_seed), image.shape[-1]
        changed = np.array(image, order="C")
        voxels, inside = changed.reshape(-1, channels), np.flatnonzero(brain)
        values = voxels.take(inside, axis=0)  # flat indices are ten times as fast as a mask
        for channel in range(channels):
            values[:, channel] = self._change_channel(values[:, channel], channel, rng)
        voxels[inside] = values
        return changed

    def _change_channel(
        self, values: Float32[NDArray, " n"], channel: int, rng: np.random.Generator
    ) -> Float32[NDArray, " n"]:
        values = apply_gamma(values, self.gamma[channel]) * np.float32(self.contrast[channel])
        values += np.float32(self.shift[channel])
        if self.noise_std:
            values += np.float32(self.noise_std) * rng.standard_normal(values.shape, np.float32)
        return values


def apply_gamma(values: Float32[NDArray, " n"], gamma: float) -> Float32[NDArray, " n"]:
    """Gamma correction between the lowest and the highest intensity, which do not change.

    >>> apply_gamma(np.array([1, 2, 3], np.float32), 2.0).tolist()
    [1.0, 1.5, 3.0]
    """
    low, high = values.min(), values.max()
    if gamma == 1 or low == high:
        return values
    span = high - low
    corrected: NDArray[np.float32] = ((values - low) / span) ** np.float32(gamma) * span + low
    return corrected


@dataclass(frozen=True)
class ResolutionTransform:
    """A sampled loss of resolution for each modality; the default is the identity.

    `blur_vox`: standard deviation of a Gaussian; `downsampling`: factor by which a modality is downsampled
    before it is upsampled again.
    """

    blur_vox: PerChannel = (0.0,) * CHANNELS
    downsampling: PerChannel = (1.0,) * CHANNELS

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float) -> "ResolutionTransform":
        """A random transform; the identity at strength 0."""
        has_blur, has_downsampling = rng.random((2, CHANNELS)) < CHANNEL_PROBABILITY
        has_blur &= rng.random() < BLUR_PROBABILITY * strength
        has_downsampling &= rng.random() < LOW_RESOLUTION_PROBABILITY * strength
        return cls(
            blur_vox=tuple(np.where(has_blur, rng.uniform(*BLUR_RANGE_VOX, CHANNELS), 0.0).tolist()),
            downsampling=tuple(
                np.where(has_downsampling, rng.uniform(*DOWNSAMPLING_FACTORS, CHANNELS), 1.0).tolist()
            ),
        )

    def apply(
        self, image: Float32[NDArray, "d h w c"], brain: Bool[NDArray, "d h w"]
    ) -> Float32[NDArray, "d h w c"]:
        """The patch at lower resolution, 0 outside the brain."""
        if self == ResolutionTransform():
            return image
        changed = image.copy()
        for channel, (blur, downsampling) in enumerate(zip(self.blur_vox, self.downsampling, strict=True)):
            if blur or downsampling > 1:
                changed[..., channel] = _reduce_resolution(image[..., channel], blur, downsampling) * brain
        return changed


def _reduce_resolution(
    volume: Float32[NDArray, "d h w"], blur_vox: float, downsampling: float
) -> Float32[NDArray, "d h w"]:
    # Both are linear along each axis: one matrix for each axis is much faster than two filters.
    for axis, length in enumerate(volume.shape):
        matrix = downsampling_matrix(length, downsampling) @ blur_matrix(length, blur_vox)
        volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return volume


def blur_matrix(length: int, deviation_vox: float) -> Float32[NDArray, "n n"]:
    """Matrix of Gaussian smoothing along an axis, which is mirrored at its ends."""
    matrix: NDArray[np.float32] = np.eye(length, dtype=np.float32)
    if deviation_vox:
        gaussian_filter1d(matrix, deviation_vox, axis=0, output=matrix)
    return matrix


def downsampling_matrix(length: int, downsampling: float) -> Float32[NDArray, "n n"]:
    """Matrix of linear downsampling along an axis and upsampling back; each row sums to 1.

    >>> downsampling_matrix(4, 2.0)[0].tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    coarse = max(1, round(length / downsampling))
    down, up = _interpolation_matrix(coarse, length), _interpolation_matrix(length, coarse)
    matrix: NDArray[np.float32] = up @ down
    return matrix


def _interpolation_matrix(target: int, source: int) -> Float32[NDArray, "t s"]:
    """Matrix of linear interpolation between two divisions of the same length into voxels."""
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    columns = [np.interp(centres, np.arange(source), one) for one in np.eye(source)]
    return np.stack(columns, axis=-1).astype(np.float32)
