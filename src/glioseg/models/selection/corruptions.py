"""Corruptions of scans that are stronger than augmentation, so that networks fail on them.

Each kind occurs in real scans. A corrupted image is normalised again, as a real scan of that quality would
be.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.modalities import MODALITIES
from glioseg.data.store.cropping import zscore
from glioseg.models.training.augmentation import Augmentation

Image = Float32[NDArray, "d h w 4"]
Labels = UInt8[NDArray, "d h w"]
Modality = Float32[NDArray, "d h w"]
Scan = tuple[Image, Labels]

STRENGTH = 5.0
"""Strength of augmentation: nearly every one of its transforms is applied at once."""
NOISE = (0.7, 2.0)
"""Standard deviation of the noise in one modality, where the brain's is 1; training adds up to 0.3."""
BLUR_MM = (4.0, 8.0)
"""Range of the standard deviation of the Gaussian that blurs one modality."""
BIAS = (0.6, 1.2)
"""Range of the bias field's slope: the change of log intensity from the middle of the brain to its end."""
SHIFT_MM = (3.0, 8.0)
"""Range of the distance by which one modality is displaced against the others."""
CONTRAST = (0.0, 0.5)
"""Range of the share of the difference between T1ce and T1 that faint contrast agent leaves."""


def corrupt(
    image: Image, label: Labels, *, kind: str, spacing_mm: int, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """Corrupt a normalised crop.

    Args:
        image: modalities; not changed in place.
        label: dense labels, which are transformed with the image.
        kind: one of `KINDS`.
        spacing_mm: edge of a voxel.
        rng: random generator for the strength and the modality.

    Returns:
        The image, each modality with mean 0 and standard deviation 1 in its brain, and its labels.
    """
    changed, moved = KINDS[kind](image, label, spacing_mm, rng)
    inside = brain_mask_of_channels(changed).astype(np.float32)
    return np.stack([zscore(channel, inside) for channel in np.moveaxis(changed, -1, 0)], axis=-1), moved


def _augmented(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    return Augmentation.sample(rng, strength=STRENGTH, modality_dropout=0.0).apply(image, label)


def _missing(image: Image, label: Labels, _: int, __: np.random.Generator, *, modality: str) -> Scan:
    """Remove one modality."""
    changed = image.copy()
    changed[..., MODALITIES.index(modality)] = 0
    return changed, label


def _several_missing(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    """Remove two or three modalities."""
    removed = rng.choice(image.shape[-1], rng.integers(2, image.shape[-1]), replace=False)
    changed = image.copy()
    changed[..., removed] = 0
    return changed, label


def _faint(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    """Bring T1ce nearer to T1, as where little contrast agent arrives."""
    t1, t1ce = (image[..., MODALITIES.index(name)] for name in ("t1", "t1ce"))
    changed = image.copy()
    changed[..., MODALITIES.index("t1ce")] = t1 + np.float32(rng.uniform(*CONTRAST)) * (t1ce - t1)
    return changed, label


def _biased(image: Image, label: Labels, _: int, rng: np.random.Generator) -> Scan:
    """Multiply each modality by a bias field that grows along a random direction."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in label.shape), indexing="ij"), axis=-1)
    directions = rng.standard_normal((3, image.shape[-1]))
    directions /= np.linalg.norm(directions, axis=0)
    field = np.exp(rng.uniform(*BIAS) * (places @ directions)).astype(np.float32)
    darkest = image.min(axis=(0, 1, 2))
    changed: Image = ((image - darkest) * field + darkest) * brain_mask_of_channels(image)[..., np.newaxis]
    return changed, label


def _swapped(
    image: Image, label: Labels, _: int, rng: np.random.Generator, *, pair: tuple[str, ...] = MODALITIES
) -> Scan:
    """Exchange two modalities, by default any two."""
    order = np.arange(image.shape[-1])
    one, other = rng.choice([MODALITIES.index(name) for name in pair], 2, replace=False)
    order[[one, other]] = other, one
    return image[..., order], label


def _misregistered(image: Image, label: Labels, spacing_mm: int, rng: np.random.Generator) -> Scan:
    """Displace one modality against the others."""
    direction, channel = rng.standard_normal(3), int(rng.integers(image.shape[-1]))
    by = rng.uniform(*SHIFT_MM) / spacing_mm * direction / np.linalg.norm(direction)
    changed = image.copy()
    changed[..., channel] = shift(image[..., channel], by, order=1) * brain_mask_of_channels(image)
    return changed, label


def _noisy(image: Image, label: Labels, spacing_mm: int, rng: np.random.Generator) -> Scan:
    """Add noise to all modalities."""
    channels = [_noise(channel, spacing_mm, rng) for channel in np.moveaxis(image, -1, 0)]
    return np.stack(channels, axis=-1) * brain_mask_of_channels(image)[..., np.newaxis], label


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


ModalityCorruption = Callable[[Modality, int, np.random.Generator], Modality]
Corruption = Callable[[Image, Labels, int, np.random.Generator], Scan]


def _in_one_modality(corruption: ModalityCorruption) -> Corruption:
    """Corrupt one modality, inside the brain."""

    def apply(image: Image, label: Labels, spacing_mm: int, rng: np.random.Generator) -> Scan:
        changed, channel = image.copy(), int(rng.integers(image.shape[-1]))
        changed[..., channel] = corruption(image[..., channel], spacing_mm, rng) * brain_mask_of_channels(
            image
        )
        return changed, label

    return apply


KINDS: dict[str, Corruption] = {
    "augmented": _augmented,
    **{f"no {name}": partial(_missing, modality=name) for name in MODALITIES},
    "several missing": _several_missing,
    "noisy": _in_one_modality(_noise),
    "noisy throughout": _noisy,
    "blurred": _in_one_modality(_blur),
    "biased": _biased,
    "t1 and t1ce swapped": partial(_swapped, pair=("t1", "t1ce")),
    "t2 and flair swapped": partial(_swapped, pair=("t2", "flair")),
    "swapped": _swapped,
    "inverted": _in_one_modality(_inversion),
    "misregistered": _misregistered,
    "faint contrast": _faint,
}
"""Every kind of corruption, by name."""
