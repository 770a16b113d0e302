"""Scans spoilt on purpose, further than training goes: bad answers from which to learn doubt.

Each kind of harm is one that real scans suffer. A spoilt image is normalised anew, as a scan is that
comes so from the scanner.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from glioseg.data.augment import Augmentation
from glioseg.data.augment.movement import brain_of
from glioseg.data.crop import zscore

Image = Float32[NDArray, "d h w 4"]
Volume3 = Float32[NDArray, "d h w"]

NOISE = (0.7, 2.0)
"""Standard deviations of noise in one modality, where the brain's own is 1; training adds 0.3 at most."""
BLUR_MM = (4.0, 8.0)
"""Standard deviations of the Gaussian that blurs one modality."""
BIAS = (0.6, 1.2)
"""How far the logarithm of brightness leans from one end of the brain to the other."""
DROPPED = (1, 3)
"""How many modalities are missing, at least and at most."""


def shifted(
    image: Image, label: UInt8[NDArray, "d h w"], *, kind: str, spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, UInt8[NDArray, "d h w"]]:
    """Spoil a normalised crop.

    Args:
        image: modalities; left untouched.
        label: dense labels, which move with the image.
        kind: of `KINDS`.
        spacing_mm: edge of a voxel.
        rng: says how much, and which modality.

    Returns:
        The image, each modality with mean 0 and standard deviation 1 in its brain, and its labels.
    """
    changed, label = KINDS[kind](image, label, spacing_mm, rng)
    inside = brain_of(changed).astype(np.float32)
    return np.stack([zscore(channel, inside) for channel in np.moveaxis(changed, -1, 0)], axis=-1), label


def _augmented(
    image: Image, label: UInt8[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, UInt8[NDArray, "d h w"]]:
    """All of training's own changes at once, each as far as it may go."""
    return Augmentation.draw(rng, strength=STRENGTH, modality_dropout=0.0).apply(image, label)


STRENGTH = 5.0
"""Of augmentation, at which every change happens but the flips along two axes."""


def _one(harm: Callable[[Volume3, Bool[NDArray, "d h w"], int, np.random.Generator], Volume3]) -> "Shift":
    """Harm one modality, inside the brain alone."""

    def spoil(
        image: Image, label: UInt8[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
    ) -> tuple[Image, UInt8[NDArray, "d h w"]]:
        changed, brain, channel = image.copy(), brain_of(image), int(rng.integers(image.shape[-1]))
        changed[..., channel] = harm(image[..., channel], brain, spacing_mm, rng) * brain
        return changed, label

    return spoil


def _noisy(
    volume: Volume3, brain: Bool[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> Volume3:
    noise: Volume3 = np.float32(rng.uniform(*NOISE)) * rng.standard_normal(volume.shape, np.float32)
    return volume + noise


def _blurred(
    volume: Volume3, brain: Bool[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> Volume3:
    blurred: Volume3 = gaussian_filter(volume, rng.uniform(*BLUR_MM) / spacing_mm)
    return blurred


def _inverted(
    volume: Volume3, brain: Bool[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> Volume3:
    return -volume


def _biased(
    image: Image, label: UInt8[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, UInt8[NDArray, "d h w"]]:
    """Brightness that leans along a random direction, another one for each modality."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in label.shape), indexing="ij"), axis=-1)
    directions = rng.standard_normal((3, image.shape[-1]))
    directions /= np.linalg.norm(directions, axis=0)
    field = np.exp(rng.uniform(*BIAS) * (places @ directions)).astype(np.float32)
    darkest = image.min(axis=(0, 1, 2))
    changed: Image = (image - darkest) * field + darkest
    return changed * brain_of(image)[..., np.newaxis], label


def _swapped(
    image: Image, label: UInt8[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, UInt8[NDArray, "d h w"]]:
    """Two modalities in each other's place."""
    order = np.arange(image.shape[-1])
    one, other = rng.choice(image.shape[-1], 2, replace=False)
    order[[one, other]] = other, one
    return image[..., order], label


def _lacking(
    image: Image, label: UInt8[NDArray, "d h w"], spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, UInt8[NDArray, "d h w"]]:
    """Without one to three of the modalities."""
    gone = rng.choice(image.shape[-1], rng.integers(DROPPED[0], DROPPED[1] + 1), replace=False)
    changed = image.copy()
    changed[..., gone] = 0
    return changed, label


Shift = Callable[
    [Image, UInt8[NDArray, "d h w"], int, np.random.Generator], tuple[Image, UInt8[NDArray, "d h w"]]
]
KINDS: dict[str, Shift] = {
    "augmented": _augmented,
    "lacking": _lacking,
    "noisy": _one(_noisy),
    "blurred": _one(_blurred),
    "biased": _biased,
    "swapped": _swapped,
    "inverted": _one(_inverted),
}
"""Every kind of harm, by name."""
