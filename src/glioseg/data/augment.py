"""Random changes to training patches: drawing them is apart from applying them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

CHANNELS = 4
FLIP_CHANCE = (0.5, 0.25, 0.25)
"""Chance that an axis is flipped, at strength 1. Left and right look alike, the others less so."""
MAX_SCALE = 0.3
MAX_SHIFT = 0.3
"""Largest change of a modality's contrast and brightness, in standard deviations, at strength 1."""
MAX_LOG_GAMMA = 0.4
MAX_NOISE = 0.15
"""Largest standard deviation of the noise, at strength 1."""

PerChannel = tuple[float, ...]


@dataclass(frozen=True)
class Augmentation:
    """One drawn change of a patch; the default changes nothing.

    `flip` says which of the three axes are reversed; `scale`, `shift` and `gamma` hold a value a
    modality; `noise` is a standard deviation, and `noise_seed` fixes its voxels.
    """

    flip: tuple[bool, bool, bool] = (False, False, False)
    scale: PerChannel = (1.0,) * CHANNELS
    shift: PerChannel = (0.0,) * CHANNELS
    gamma: PerChannel = (1.0,) * CHANNELS
    noise: float = 0.0
    noise_seed: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator, *, strength: float) -> "Augmentation":
        """Draw a change.

        Args:
            rng: source of the draw.
            strength: 0 draws the identity; 1 the widest range.
        """
        d, h, w = (bool(rng.random() < strength * chance) for chance in FLIP_CHANCE)
        scale, shift, gamma = (
            strength * limit * rng.uniform(-1, 1, CHANNELS) for limit in (MAX_SCALE, MAX_SHIFT, MAX_LOG_GAMMA)
        )
        return cls(
            flip=(d, h, w),
            scale=tuple((1 + scale).tolist()),
            shift=tuple(shift.tolist()),
            gamma=tuple(np.exp(gamma).tolist()),
            noise=strength * MAX_NOISE * rng.random(),
            noise_seed=int(rng.integers(2**32)),
        )

    def apply(
        self, image: Float32[NDArray, "d h w 4"], label: UInt8[NDArray, "d h w"]
    ) -> tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Change a patch; voxels outside the brain (0 in every modality) stay 0.

        Args:
            image: normalised modalities; left untouched.
            label: dense labels, flipped with the image.

        Returns:
            The changed image and label.
        """
        axes = tuple(axis for axis, flip in enumerate(self.flip) if flip)
        brain = image.any(axis=-1)
        changed = image.copy()
        if self._changes_intensity:
            changed[brain] = self._intensities(image[brain])
        return np.flip(changed, axes), np.flip(label, axes)

    @property
    def _changes_intensity(self) -> bool:
        return (self.scale, self.shift, self.gamma, self.noise) != (
            Augmentation.scale,
            Augmentation.shift,
            Augmentation.gamma,
            Augmentation.noise,
        )

    def _intensities(self, values: Float32[NDArray, "n 4"]) -> Float32[NDArray, "n 4"]:
        if not len(values):
            return values
        low, high = values.min(axis=0), values.max(axis=0)
        span = np.maximum(high - low, np.float32(1e-6))
        gamma, scale, shift = (np.asarray(v, np.float32) for v in (self.gamma, self.scale, self.shift))
        out: NDArray[np.float32] = ((values - low) / span) ** gamma * span + low
        out = out * scale + shift
        if self.noise:
            rng = np.random.default_rng(self.noise_seed)
            out += np.float32(self.noise) * rng.standard_normal(out.shape, np.float32)
        return out
