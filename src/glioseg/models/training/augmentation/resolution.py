"""Blur and low resolution: what a worse scanner would have seen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from glioseg.core.modalities import MODALITIES

CHANNELS = len(MODALITIES)
BLUR_CHANCE = 0.4
LOW_RESOLUTION_CHANCE = 0.5
CHANNEL_CHANCE = 0.5
"""Chances at strength 1, twice nnU-Net's, and of each modality where a patch is changed at all."""
BLURS_VOX = (0.5, 1.5)
COARSENESS = (1.0, 2.0)
"""nnU-Net's ranges (Isensee et al. 2021): Gaussian deviation, and edge of a voxel in voxels."""

PerChannel = tuple[float, ...]


@dataclass(frozen=True)
class Sharpness:
    """A drawn loss of detail, by modality; the default changes nothing.

    `blur_vox` is the standard deviation of a Gaussian; `coarseness` the edge of the coarse voxels to
    which a modality is brought and back.
    """

    blur_vox: PerChannel = (0.0,) * CHANNELS
    coarseness: PerChannel = (1.0,) * CHANNELS

    @classmethod
    def draw(cls, rng: np.random.Generator, *, strength: float) -> "Sharpness":
        """Draw a change; at strength 0 none."""
        blurs, coarsens = rng.random((2, CHANNELS)) < CHANNEL_CHANCE
        blurs &= rng.random() < BLUR_CHANCE * strength
        coarsens &= rng.random() < LOW_RESOLUTION_CHANCE * strength
        return cls(
            blur_vox=tuple(np.where(blurs, rng.uniform(*BLURS_VOX, CHANNELS), 0.0).tolist()),
            coarseness=tuple(np.where(coarsens, rng.uniform(*COARSENESS, CHANNELS), 1.0).tolist()),
        )

    def apply(
        self, image: Float32[NDArray, "d h w c"], brain: Bool[NDArray, "d h w"]
    ) -> Float32[NDArray, "d h w c"]:
        """Change a patch, and make it 0 outside the brain."""
        if self == Sharpness():
            return image
        changed = image.copy()
        for channel, (blur, coarseness) in enumerate(zip(self.blur_vox, self.coarseness, strict=True)):
            if blur or coarseness > 1:
                changed[..., channel] = _lose_detail(image[..., channel], blur, coarseness) * brain
        return changed


def _lose_detail(
    volume: Float32[NDArray, "d h w"], blur_vox: float, coarseness: float
) -> Float32[NDArray, "d h w"]:
    # Both are linear along each axis: one matrix an axis does both, much faster than two filters.
    for axis, length in enumerate(volume.shape):
        matrix = coarsening(length, coarseness) @ blurring(length, blur_vox)
        volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return volume


def blurring(length: int, deviation_vox: float) -> Float32[NDArray, "n n"]:
    """Gaussian smoothing along an axis as a matrix; its ends are mirrored."""
    matrix: NDArray[np.float32] = np.eye(length, dtype=np.float32)
    if deviation_vox:
        gaussian_filter1d(matrix, deviation_vox, axis=0, output=matrix)
    return matrix


def coarsening(length: int, coarseness: float) -> Float32[NDArray, "n n"]:
    """Linear sampling at coarse voxels along an axis, and back, as a matrix; each row sums to 1.

    >>> coarsening(4, 2.0)[0].tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    coarse = max(1, round(length / coarseness))
    there, back = _sampling(coarse, length), _sampling(length, coarse)
    matrix: NDArray[np.float32] = back @ there
    return matrix


def _sampling(target: int, source: int) -> Float32[NDArray, "t s"]:
    """Linear interpolation from voxels to voxels of another size that fill the same length."""
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    columns = [np.interp(centres, np.arange(source), one) for one in np.eye(source)]
    return np.stack(columns, axis=-1).astype(np.float32)
