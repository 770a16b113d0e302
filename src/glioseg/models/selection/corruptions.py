"""Scans spoilt on purpose, further than training goes: bad answers from which to learn doubt.

Each kind of harm is one that real scans suffer. A spoilt image is normalised anew, as a scan is that
comes so from the scanner.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from glioseg.data.store.cropping import zscore
from glioseg.models.training.augmentation import Augmentation
from glioseg.models.training.augmentation.spatial import brain_of

Image = Float32[NDArray, "d h w 4"]
Labels = UInt8[NDArray, "d h w"]
Modality = Float32[NDArray, "d h w"]
Scan = tuple[Image, Labels]

STRENGTH = 5.0
"""Of augmentation: nearly every change that training knows happens at once."""
NOISE = (0.7, 2.0)
"""Standard deviations of noise in one modality, where the brain's own is 1; training adds 0.3 at most."""
BLUR_MM = (4.0, 8.0)
"""Standard deviations of the Gaussian that blurs one modality."""
BIAS = (0.6, 1.2)
"""How far the logarithm of brightness leans from the middle of the brain to its end."""
MOST_LACKING = 3
"""Of the four modalities."""


def shifted(
    image: Image, label: Labels, *, kind: str, spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, Labels]:
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
    changed, moved = KINDS[kind](image, label, spacing_mm, rng)
    inside = brain_of(changed).astype(np.float32)
    return np.stack([zscore(channel, inside) for channel in np.moveaxis(changed, -1, 0)], axis=-1), moved


def _augmented(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    return Augmentation.draw(rng, strength=STRENGTH, modality_dropout=0.0).apply(image, label)


def _lacking(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    gone = rng.choice(image.shape[-1], rng.integers(1, MOST_LACKING + 1), replace=False)
    changed = image.copy()
    changed[..., gone] = 0
    return changed, label


def _biased(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    """Brightness leans along a direction of its own in each modality."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in label.shape), indexing="ij"), axis=-1)
    directions = rng.standard_normal((3, image.shape[-1]))
    directions /= np.linalg.norm(directions, axis=0)
    field = np.exp(rng.uniform(*BIAS) * (places @ directions)).astype(np.float32)
    darkest = image.min(axis=(0, 1, 2))
    changed: Image = ((image - darkest) * field + darkest) * brain_of(image)[..., np.newaxis]
    return changed, label


def _swapped(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    """Two modalities in each other's place."""
    order = np.arange(image.shape[-1])
    one, other = rng.choice(image.shape[-1], 2, replace=False)
    order[[one, other]] = other, one
    return image[..., order], label


def _noise(modality: Modality, _: int, rng: np.random.Generator) -> Modality:
    level = np.float32(rng.uniform(*NOISE))
    noisy: Modality = modality + level * rng.standard_normal(modality.shape, np.float32)
    return noisy


def _blur(modality: Modality, spacing_mm: int, rng: np.random.Generator) -> Modality:
    blurred: Modality = gaussian_filter(modality, rng.uniform(*BLUR_MM) / spacing_mm)
    return blurred


def _inversion(modality: Modality, _: int, __: np.random.Generator) -> Modality:
    inverted: Modality = -modality
    return inverted


Harm = Callable[[Modality, int, np.random.Generator], Modality]
Shift = Callable[[Image, Labels, int, np.random.Generator], Scan]


def _of_one(harm: Harm) -> Shift:
    """Harm one modality, inside the brain."""

    def spoil(image: Image, label: Labels, spacing_mm: int, rng: np.random.Generator) -> Scan:
        changed, channel = image.copy(), int(rng.integers(image.shape[-1]))
        changed[..., channel] = harm(image[..., channel], spacing_mm, rng) * brain_of(image)
        return changed, label

    return spoil


KINDS: dict[str, Shift] = {
    "augmented": _augmented,
    "lacking": _lacking,
    "noisy": _of_one(_noise),
    "blurred": _of_one(_blur),
    "biased": _biased,
    "swapped": _swapped,
    "inverted": _of_one(_inversion),
}
"""Every kind of harm, by name."""
