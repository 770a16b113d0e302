"""How like its training a scan is, told from the scan alone.

A portrait is a few numbers of a brain: of each modality the shape of its histogram and its sharpness, how
far modalities go together, and how large the brain is. Each is held to what training cases have; the one
that is farthest off says what is odd about a scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.geometry import downsample
from glioseg.core.modalities import MODALITIES

PORTRAIT_MM = 2
"""A finer scan is coarsened to it first: that is quick, and noise of single voxels says little."""
OF_EACH = ("dark end", "middle", "bright end", "skewness", "tails", "extremes", "sharpness")
FEATURES = (
    *(f"{name} ({what})" for name in MODALITIES for what in OF_EACH),
    *(f"{one} with {other} (correlation)" for one, other in combinations(MODALITIES, 2)),
    "brain (volume)",
)
"""What the numbers of a portrait are."""
PERCENT = (5, 50, 95)
EXTREME = 3.0
"""Deviations from the mean, beyond which a voxel is extreme."""
FLOOR = 1e-3
"""Added before logarithms, and how far correlations are kept from 1."""

LEAST_CASES = 8
"""With fewer, nothing is known of what training is like."""
LEAST_DEVIATION = 0.02
"""Features that hardly vary in training may vary a little all the same."""
MOST_PERCENT, MARGIN = 95, 1.25
"""A scan is unlike training if it is farther off than this share of known cases, by this factor. Not than all
of them: among phantoms that vary widely one was so odd that nothing would have seemed unlike them."""

Portrait = Float64[NDArray, "features"]
Portraits = Float64[NDArray, "cases features"]
SHOWS_ENHANCEMENT = "t1ce"
"""No training makes up for it: without contrast agent nothing tells enhancing tumour from other tissue."""


@dataclass(frozen=True)
class Likeness:
    """What the portraits of a training are like.

    `mean`, `deviation`: of each of `FEATURES`; `limit`: deviations from the mean beyond which a feature is
    unlike the training; `always`: modalities without which the networks have learned nothing.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    limit: float
    always: tuple[str, ...]

    def oddities(self, portrait: Portrait) -> list[str]:
        """What is unlike the training: modalities that are missing, and the oddest feature."""
        off = _off(portrait, np.array(self.mean), np.array(self.deviation))
        odd = [f"{name} (missing)" for name in self.always if name not in _present(portrait)]
        return [*odd, FEATURES[int(off.argmax())]] if off.max() > self.limit else odd


def portrait(image: Float32[NDArray, "d h w 4"], *, spacing_mm: int) -> Portrait:
    """A value for each of `FEATURES`; NaN for those of a modality that is missing, or has one value alone.

    The outermost voxels of the brain are left out: there a coarse voxel is brain in part alone.

    Args:
        image: a normalised crop.
        spacing_mm: edge of a voxel.
    """
    if spacing_mm < PORTRAIT_MM:
        image, spacing_mm = downsample(image, PORTRAIT_MM // spacing_mm), PORTRAIT_MM
    brain: NDArray[np.bool_] = np.logical_or.reduce(image != 0, axis=-1)
    if not brain.any():
        return np.full(len(FEATURES), np.nan)
    inner = ndimage.binary_erosion(brain)
    inner = inner if inner.any() else brain
    channels = [_standardised(image[..., channel], inner) for channel in range(image.shape[-1])]
    each = [number for channel in channels for number in _of_one(channel, inner)]
    values = [channel[inner].astype(np.float64) for channel in channels]
    pairs = [_together(one, other) for one, other in combinations(values, 2)]
    return np.array([*each, *pairs, np.log(np.count_nonzero(brain) * spacing_mm**3 / 1000)])


def _standardised(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> NDArray[np.float32]:
    """With mean 0 and standard deviation 1 in the inner brain; NaN where there is nothing but one value."""
    values = channel[inner].astype(np.float64)
    spread = float(values.std()) or np.nan
    standard: NDArray[np.float32] = ((channel - values.mean()) / spread).astype(np.float32)
    return standard


def _of_one(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> Iterator[float]:
    """`OF_EACH` of one modality."""
    values = channel[inner].astype(np.float64)
    if np.isnan(values[0]):
        yield from [np.nan] * len(OF_EACH)
        return
    yield from np.percentile(values, PERCENT)
    yield float((values**3).mean())
    yield float(np.log((values**4).mean()))
    yield float(np.log((np.abs(values) > EXTREME).mean() + FLOOR))
    yield float(np.log(_roughness(channel, inner) + FLOOR))


def _roughness(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> float:
    """Half the mean squared difference of neighbours: 1 − their correlation."""
    squares, pairs = 0.0, 0
    for axis in range(3):
        ahead, both = np.diff(channel, axis=axis), np.diff(inner.astype(np.int8), axis=axis) == 0
        both &= inner.take(range(inner.shape[axis] - 1), axis)
        squares += float(np.square(ahead[both], dtype=np.float64).sum())
        pairs += int(both.sum())
    return squares / max(2 * pairs, 1)


def _together(one: Float64[NDArray, "voxels"], other: Float64[NDArray, "voxels"]) -> float:
    """Fisher's transform of the correlation."""
    return float(np.arctanh((one * other).mean() * (1 - FLOOR)))


def learn_likeness(portraits: Portraits, others: Portraits, *, modality_dropout: float) -> Likeness | None:
    """Learn what a training's portraits are like, and how far off a case may be that is one of them.

    Args:
        portraits: of training cases; each is held to the rest of them.
        others: of cases like them, which are held to them all.
        modality_dropout: chance that training hid modalities, so that the networks can do without; but for
            `SHOWS_ENHANCEMENT`.

    Returns:
        None where there are fewer than `LEAST_CASES`.
    """
    if len(portraits) < LEAST_CASES:
        return None
    rest = [np.delete(portraits, row, axis=0) for row in range(len(portraits))]
    off = [_off(one, *_usual(others)).max() for one, others in zip(portraits, rest, strict=True)]
    mean, deviation = _usual(portraits)
    off += [_off(one, mean, deviation).max() for one in others]
    limit = MARGIN * np.percentile(off, MOST_PERCENT)
    missed = (SHOWS_ENHANCEMENT,) if modality_dropout else MODALITIES
    always = tuple(name for name in missed if all(name in _present(one) for one in portraits))
    return Likeness(_short(mean), _short(deviation), float(f"{limit:.5g}"), always)


def _usual(portraits: Portraits) -> tuple[Portrait, Portrait]:
    """Mean and deviation of each feature, where it is known."""
    return np.nanmean(portraits, axis=0), np.maximum(np.nanstd(portraits, axis=0), LEAST_DEVIATION)


def _off(portrait: Portrait, mean: Portrait, deviation: Portrait) -> Portrait:
    """By how many deviations each feature is off; 0 where it is not known."""
    off: Portrait = np.nan_to_num(np.abs(portrait - mean) / deviation)
    return off


def _present(portrait: Portrait) -> set[str]:
    """The modalities that a scan has."""
    known = portrait[: len(MODALITIES) * len(OF_EACH) : len(OF_EACH)]
    return {name for name, value in zip(MODALITIES, known, strict=True) if np.isfinite(value)}


def _short(numbers: Portrait) -> tuple[float, ...]:
    """With five significant digits, which keeps settings.json small."""
    return tuple(float(f"{number:.5g}") for number in numbers)
