"""Uncertainty of a prediction: entropy of each voxel, and a conformal prediction interval of each volume.

Vovk V, Gammerman A, Shafer G: Algorithmic Learning in a Random World. Springer 2005.
Lei J, G'Sell M, Rinaldo A, Tibshirani RJ, Wasserman L: Distribution-Free Predictive Inference for
Regression. Journal of the American Statistical Association 2018.

If the conformity scores of n calibration cases and of a new case are exchangeable, the new score is equally
likely to take any of n + 1 ranks, so it is at most the k-th smallest of the n with probability k / (n + 1)
or more.
"""

from collections.abc import Sequence
from math import exp, log

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy.special import entr

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.prediction import BRAIN, RegionVolume
from glioseg.models.networks.outputs import label_probabilities

OFFSET_ML = 1.0
"""Added to volumes before division, so that the ratio is defined for empty regions."""
CERTAIN_FROM, POSSIBLE_FROM = 0.9, 0.1
"""Probabilities from which a voxel certainly, or possibly, belongs to a region."""
MIN_UNCERTAINTY = 0.1
"""Lower bound: even the volume of a prediction without uncertain voxels has an error of some 10 %."""
TARGET_PERCENT = 90
"""The level of an interval with at least nine calibration cases."""
MIN_LEVEL = 0.8
"""Minimum level; at a lower one, more than every fifth new case could lie outside its interval."""


def entropy_bits(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid"]:
    """Shannon entropy of each voxel's four label probabilities: 0 (certain) to 2 bits.

    >>> entropy_bits(np.array([[0.75, 0.5, 0.25], [0, 0, 0], [1, 0.5, 0]], np.float32)).tolist()
    [2.0, 0.0, 1.0]
    """
    bits: NDArray[np.float32] = entr(label_probabilities(regions)).sum(axis=-1) / np.float32(np.log(2))
    return bits


def mean_bits(
    entropy: Float32[NDArray, "d h w"], labels: UInt8[NDArray, "d h w"], brain: Bool[NDArray, "d h w"]
) -> dict[str, float]:
    """The mean entropy of the brain and of each predicted region; an empty region has no entry.

    Args:
        entropy: as from `entropy_bits`.
        labels: the final dense labels.
        brain: voxels that are not background.
    """
    regions = np.moveaxis(regions_from_labels(labels), -1, 0)
    masks = {BRAIN: brain, **dict(zip(REGIONS, regions, strict=True))}
    return {name: float(entropy[mask].mean(dtype=np.float64)) for name, mask in masks.items() if mask.any()}


def region_volumes(
    labels: UInt8[NDArray, "d h w"],
    regions: Float32[NDArray, "voxels 3"],
    *,
    intervals: VolumeIntervals | None,
    voxel_ml: float,
) -> dict[str, RegionVolume]:
    """The volume of each region with its prediction interval.

    An interval ends at the volume of the brain at most, that of TC at the upper end of WT's, and that of ET
    at the upper end of TC's.

    Args:
        labels: the final dense labels.
        regions: calibrated probabilities of the brain's voxels, which may be tumour.
        intervals: half-widths of the intervals; None for volumes alone.
        voxel_ml: volume of a voxel.
    """
    voxels = regions_from_labels(labels).sum(axis=(0, 1, 2))
    volumes = {name: RegionVolume(float(n) * voxel_ml) for name, n in zip(REGIONS, voxels, strict=True)}
    if intervals is None:
        return volumes
    limit_ml = len(regions) * voxel_ml
    for index, (name, half_width) in enumerate(zip(REGIONS, intervals.half_width, strict=True)):
        certain_ml, possible_ml = (
            np.count_nonzero(regions[..., index] >= p) * voxel_ml for p in (CERTAIN_FROM, POSSIBLE_FROM)
        )
        ml, shift = float(voxels[index]) * voxel_ml, intervals.shift[index]
        uncertainty = volume_uncertainty(certain_ml, possible_ml)
        low, high = volume_interval(ml, uncertainty, half_width, shift)
        limit_ml = high = min(high, max(limit_ml, ml))
        volumes[name] = RegionVolume(ml, low, high, intervals.level)
    return volumes


def volume_uncertainty(certain_ml: float, possible_ml: float) -> float:
    """The logarithm of the ratio of a region's possible volume to its certain volume.

    >>> round(volume_uncertainty(9.0, 19.0), 3)  # ln (20 / 10)
    0.693
    """
    return max(log((possible_ml + OFFSET_ML) / (certain_ml + OFFSET_ML)), MIN_UNCERTAINTY)


def volume_interval(
    ml: float, uncertainty: float, half_width: float, shift: float = 0.0
) -> tuple[float, float]:
    """The ends, in ml, of an interval that extends by `half_width` times the uncertainty to either side.

    Its middle lies `shift` times the uncertainty above the predicted volume. It is symmetric on the scale of
    ratios, but it always contains the predicted volume, and its lower end is at least 0.

    >>> volume_interval(9.0, log(2), 1.0)  # 10 / 2 − 1 to 10 · 2 − 1
    (4.0, 19.0)
    >>> low, high = volume_interval(9.0, log(2), 1.0, 2.0)  # the volume itself to 10 · 2 · 2 · 2 − 1
    >>> round(low, 3), round(high, 3)
    (9.0, 79.0)
    """
    low, high = (
        (ml + OFFSET_ML) * exp((shift + side * half_width) * uncertainty) - OFFSET_ML for side in (-1, 1)
    )
    return max(min(low, ml), 0.0), max(high, ml)


def volume_error(truth_ml: float, predicted_ml: float, uncertainty: float) -> float:
    """How far the true volume lies above the predicted one, in multiples of the uncertainty.

    The error is divided by the case's own uncertainty, so that uncertain predictions get wide intervals
    (Papadopoulos, Gammerman & Vovk 2008, "Normalized nonconformity measures for regression conformal
    prediction").

    >>> round(volume_error(19.0, 9.0, log(4)), 3)  # a factor of 2, where the uncertainty is a factor of 4
    0.5
    """
    return log((truth_ml + OFFSET_ML) / (predicted_ml + OFFSET_ML)) / uncertainty


def fit_interval(errors: Sequence[float]) -> tuple[float, float]:
    """The shift and the half-width of intervals that contain the true volume at `supported_level`.

    The shift is the median error: a network that misses tissue predicts too small a volume nearly always. The
    conformity score of a prediction is its distance from the median error of the others.

    Args:
        errors: `volume_error` of each prediction, at least two.

    >>> fit_interval([0.0, 1.0, 1.0, 1.0, 3.0])  # the largest score of five is that of the last one
    (1.0, 2.0)
    """
    values = np.asarray(errors, np.float64)
    scores = [abs(own - float(np.median(np.delete(values, place)))) for place, own in enumerate(errors)]
    return float(np.median(values)), conformal_quantile(scores)


def fit_volume_intervals(errors: Float64[NDArray, "predictions 3"], *, cases: int) -> VolumeIntervals | None:
    """The intervals of WT, TC and ET, each fitted by `fit_interval`; None if there are too few cases.

    Args:
        errors: `volume_error` of each prediction; NaN for a region that cannot be judged, which does not
            count.
        cases: number of cases that the predictions are of.
    """
    level = supported_level(cases)
    if level is None:
        return None
    wt, tc, et = (fit_interval(region[np.isfinite(region)].tolist()) for region in errors.T)
    shift, half_width = zip(wt, tc, et, strict=True)
    return VolumeIntervals(half_width, level, cases, shift)


def supported_level(cases: int) -> float | None:
    """The level of an interval from this number of calibration cases; None if it would be too low.

    Args:
        cases: number of calibration cases.

    >>> [supported_level(cases) for cases in (3, 4, 7, 9, 250)]
    [None, 0.8, 0.875, 0.9, 0.9]
    """
    level = min(TARGET_PERCENT / 100, cases / (cases + 1))
    return level if level >= MIN_LEVEL else None


def conformal_quantile(scores: Sequence[float]) -> float:
    """The score that a new case exceeds with probability 1 − `supported_level` at most.

    It is the ⌈0.9 · (n + 1)⌉-th smallest of the n scores, and the largest of fewer than nine.

    Args:
        scores: score of each calibration case, at least one.

    >>> conformal_quantile(range(1, 20))  # ⌈0.9 · 20⌉ = 18
    18
    """
    rank = -(-TARGET_PERCENT * (len(scores) + 1) // 100)  # integers: 0.9 is not exact in binary
    return sorted(scores)[min(rank, len(scores)) - 1]
