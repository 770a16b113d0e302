"""Detection of scans that differ from the training data, from features of the scan alone.

The features are a few numbers of a brain: for each modality the shape of its histogram and its sharpness,
the correlation of each pair of modalities, and the volume of the brain. Each is compared with its
distribution over the training cases; the feature that deviates most is the reason given for an unusual scan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.geometry import downsample
from glioseg.core.modalities import MODALITIES
from glioseg.core.old_names import FIELDS, with_current_names

FEATURE_SPACING_MM = 2
"""Spacing to which finer scans are first downsampled: this is faster and averages the noise of voxels."""
MODALITY_FEATURES = ("dark end", "middle", "bright end", "skewness", "tails", "extremes", "sharpness")
FEATURE_NAMES = (
    *(f"{name} ({what})" for name in MODALITIES for what in MODALITY_FEATURES),
    *(f"{one} with {other} (correlation)" for one, other in combinations(MODALITIES, 2)),
    "brain (volume)",
)
PERCENTILES = (5, 50, 95)
EXTREME = 3.0
"""Standard deviations from the mean beyond which a voxel is extreme."""
FLOOR = 1e-3
"""Added before logarithms, and subtracted from correlations of 1."""

MIN_CASES = 8
"""With fewer training cases, the distribution of the features is not known."""
MIN_DEVIATION = 0.02
"""Lower bound of a standard deviation, for features that hardly vary in training."""
LIMIT_PERCENTILE, LIMIT_MARGIN = 95, 1.25
"""A scan is out of distribution if its largest deviation exceeds this percentile of those of the known cases,
times this margin. Their maximum is unsuitable: among domain-randomised phantoms, one deviated more than any
scan."""

Features = Float64[NDArray, "features"]
FeatureTable = Float64[NDArray, "cases features"]
INDISPENSABLE_MODALITY = "t1ce"
"""Required even after modality dropout: only contrast agent separates enhancing tumour from other tissue."""


@dataclass(frozen=True)
class OutOfDistribution:
    """The distribution of the features over the training cases.

    `mean`, `deviation`: of each of `FEATURE_NAMES`; `limit`: standard deviations from the mean beyond which
    a feature is unusual; `required_modalities`: modalities that the networks need, since no training case
    lacked them.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    limit: float
    required_modalities: tuple[str, ...]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "OutOfDistribution":
        """Rebuild it from the JSON form of `asdict`, which has lists for tuples."""
        values = with_current_names(record, FIELDS)
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | lists)

    def unusual_features(self, features: Features) -> list[str]:
        """Differences from the training data: missing modalities, and the feature that deviates most."""
        z = _z_scores(features, np.array(self.mean), np.array(self.deviation))
        missing = [
            f"{name} (missing)"
            for name in self.required_modalities
            if name not in _present_modalities(features)
        ]
        return [*missing, FEATURE_NAMES[int(z.argmax())]] if z.max() > self.limit else missing


def compute_features(image: Float32[NDArray, "d h w 4"], *, spacing_mm: int) -> Features:
    """A value for each of `FEATURE_NAMES`; NaN for features of a modality that is missing or constant.

    The outermost voxels of the brain are left out, because a coarse voxel there is only partly brain.

    Args:
        image: a normalised crop.
        spacing_mm: edge of a voxel.
    """
    if spacing_mm < FEATURE_SPACING_MM:
        image, spacing_mm = downsample(image, FEATURE_SPACING_MM // spacing_mm), FEATURE_SPACING_MM
    brain = brain_mask_of_channels(image)
    if not brain.any():
        return np.full(len(FEATURE_NAMES), np.nan)
    inner = ndimage.binary_erosion(brain)
    inner = inner if inner.any() else brain
    channels = [_standardised(image[..., channel], inner) for channel in range(image.shape[-1])]
    single = [number for channel in channels for number in _modality_features(channel, inner)]
    values = [channel[inner].astype(np.float64) for channel in channels]
    pairs = [_fisher_correlation(one, other) for one, other in combinations(values, 2)]
    return np.array([*single, *pairs, np.log(np.count_nonzero(brain) * spacing_mm**3 / 1000)])


def _standardised(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> NDArray[np.float32]:
    """The channel with mean 0 and standard deviation 1 in the inner brain; NaN where it is constant."""
    values = channel[inner].astype(np.float64)
    spread = float(values.std()) or np.nan
    standard: NDArray[np.float32] = ((channel - values.mean()) / spread).astype(np.float32)
    return standard


def _modality_features(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> Iterator[float]:
    """`MODALITY_FEATURES` of one modality."""
    values = channel[inner].astype(np.float64)
    if np.isnan(values[0]):
        yield from [np.nan] * len(MODALITY_FEATURES)
        return
    yield from np.percentile(values, PERCENTILES)
    yield float((values**3).mean())
    yield float(np.log((values**4).mean()))
    yield float(np.log((np.abs(values) > EXTREME).mean() + FLOOR))
    yield float(np.log(_roughness(channel, inner) + FLOOR))


def _roughness(channel: Float32[NDArray, "d h w"], inner: Bool[NDArray, "d h w"]) -> float:
    """Half the mean squared difference of neighbours: 1 − their correlation."""
    squares, pairs = 0.0, 0
    for axis in range(3):
        step, both = np.diff(channel, axis=axis), np.diff(inner.astype(np.int8), axis=axis) == 0
        both &= inner.take(range(inner.shape[axis] - 1), axis)
        squares += float(np.square(step[both], dtype=np.float64).sum())
        pairs += int(both.sum())
    return squares / max(2 * pairs, 1)


def _fisher_correlation(one: Float64[NDArray, "voxels"], other: Float64[NDArray, "voxels"]) -> float:
    """Fisher's transform of the correlation."""
    return float(np.arctanh((one * other).mean() * (1 - FLOOR)))


def fit_out_of_distribution(
    training: FeatureTable, others: FeatureTable, *, modality_dropout: float
) -> OutOfDistribution | None:
    """Fit the distribution of the features, and the limit beyond which a scan is out of distribution.

    Args:
        training: features of training cases; each case is compared with the rest of them.
        others: features of cases of the same kind, each compared with all training cases.
        modality_dropout: probability that a training patch lacked modalities. If it is positive, the networks
            need no modality except `INDISPENSABLE_MODALITY`.

    Returns:
        None for fewer than `MIN_CASES` training cases.
    """
    if len(training) < MIN_CASES:
        return None
    rest = [np.delete(training, row, axis=0) for row in range(len(training))]
    deviations = [
        _z_scores(one, *_mean_and_deviation(remaining)).max()
        for one, remaining in zip(training, rest, strict=True)
    ]
    mean, deviation = _mean_and_deviation(training)
    deviations += [_z_scores(one, mean, deviation).max() for one in others]
    limit = LIMIT_MARGIN * np.percentile(deviations, LIMIT_PERCENTILE)
    needed = (INDISPENSABLE_MODALITY,) if modality_dropout else MODALITIES
    required = tuple(name for name in needed if all(name in _present_modalities(one) for one in training))
    return OutOfDistribution(_rounded(mean), _rounded(deviation), float(f"{limit:.5g}"), required)


def _mean_and_deviation(table: FeatureTable) -> tuple[Features, Features]:
    """Mean and standard deviation of each feature, over the cases that have it."""
    return np.nanmean(table, axis=0), np.maximum(np.nanstd(table, axis=0), MIN_DEVIATION)


def _z_scores(features: Features, mean: Features, deviation: Features) -> Features:
    """Each feature's distance from the mean in standard deviations; 0 where it is not known."""
    z: Features = np.nan_to_num(np.abs(features - mean) / deviation)
    return z


def _present_modalities(features: Features) -> set[str]:
    """The modalities that a scan has."""
    first = features[: len(MODALITIES) * len(MODALITY_FEATURES) : len(MODALITY_FEATURES)]
    return {name for name, value in zip(MODALITIES, first, strict=True) if np.isfinite(value)}


def _rounded(numbers: Features) -> tuple[float, ...]:
    """The numbers with five significant digits, which keeps settings.json small."""
    return tuple(float(f"{number:.5g}") for number in numbers)
