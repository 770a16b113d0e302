"""How sure an answer is: entropy voxel by voxel, and a prediction interval of each region's volume."""

from dataclasses import replace
from math import exp, log

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy.special import entr

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.prediction import BRAIN, RegionVolume
from glioseg.models.networks.region_probabilities import label_probabilities

OFFSET_ML = 1.0
"""Added to volumes before they are compared by their ratio, so that an empty region can be compared."""
SURE, POSSIBLE = 0.9, 0.1
"""Probabilities from which a voxel surely, or possibly, belongs to a region."""
LEAST_DOUBT = 0.1
"""Even an answer without doubtful voxels is not known better than by some 10 %."""


def entropy_bits(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid"]:
    """Shannon entropy of each voxel's four label probabilities: 0 (sure) to 2 bits.

    >>> entropy_bits(np.array([[0.75, 0.5, 0.25], [0, 0, 0], [1, 0.5, 0]], np.float32)).tolist()
    [2.0, 0.0, 1.0]
    """
    bits: NDArray[np.float32] = entr(label_probabilities(regions)).sum(axis=-1) / np.float32(np.log(2))
    return bits


def mean_bits(
    entropy: Float32[NDArray, "d h w"], labels: UInt8[NDArray, "d h w"], brain: Bool[NDArray, "d h w"]
) -> dict[str, float]:
    """The mean entropy of the brain and of each region; a region that was not found has none.

    Args:
        entropy: as from `entropy_bits`.
        labels: the final dense labels.
        brain: voxels that are not background.
    """
    regions = np.moveaxis(regions_from_labels(labels), -1, 0)
    places = {BRAIN: brain, **dict(zip(REGIONS, regions, strict=True))}
    return {
        name: float(entropy[place].mean(dtype=np.float64)) for name, place in places.items() if place.any()
    }


def region_volumes(
    labels: UInt8[NDArray, "d h w"],
    regions: Float32[NDArray, "voxels 3"],
    *,
    intervals: VolumeIntervals | None,
    voxel_ml: float,
) -> dict[str, RegionVolume]:
    """The volume of each region with its prediction interval, which ends at the volume of the brain.

    Args:
        labels: the final dense labels.
        regions: calibrated probabilities of the voxels that may be tumour: those of the brain.
        intervals: how wide they are; None for volumes alone.
        voxel_ml: volume of a voxel.
    """
    voxels = regions_from_labels(labels).sum(axis=(0, 1, 2))
    volumes = {name: RegionVolume(float(n) * voxel_ml) for name, n in zip(REGIONS, voxels, strict=True)}
    if intervals is None:
        return volumes
    brain_ml = len(regions) * voxel_ml
    for index, (name, half_width) in enumerate(zip(REGIONS, intervals.half_width, strict=True)):
        sure, possible = (np.count_nonzero(regions[..., index] >= p) * voxel_ml for p in (SURE, POSSIBLE))
        low, high = interval(volumes[name].ml, doubt(sure, possible), half_width)
        high = min(high, max(brain_ml, volumes[name].ml))
        volumes[name] = replace(volumes[name], low_ml=low, high_ml=high, level=intervals.level)
    return volumes


def doubt(sure_ml: float, possible_ml: float) -> float:
    """How far apart the sure and the possible volume of a region are, as the logarithm of their ratio.

    >>> round(doubt(9.0, 19.0), 3)  # ln (20 / 10)
    0.693
    """
    return max(log((possible_ml + OFFSET_ML) / (sure_ml + OFFSET_ML)), LEAST_DOUBT)


def interval(ml: float, doubt: float, half_width: float) -> tuple[float, float]:
    """The ends, in ml, of an interval that reaches `half_width` doubts to either side of a volume.

    It is symmetric on the scale of ratios, and ends at 0 below.

    >>> interval(9.0, log(2), 1.0)  # 10 / 2 − 1 to 10 · 2 − 1
    (4.0, 19.0)
    """
    factor = exp(half_width * doubt)
    low, high = ((ml + OFFSET_ML) * by - OFFSET_ML for by in (1 / factor, factor))
    return max(low, 0.0), high


def interval_score(truth_ml: float, answer_ml: float, doubt: float) -> float:
    """The half-width whose interval just holds the true volume: the conformity score of a case.

    The error is divided by the case's own doubt, so that unsure answers get wide intervals (Papadopoulos,
    Gammerman & Vovk 2008, "Normalized nonconformity measures for regression conformal prediction").

    >>> round(interval_score(19.0, 9.0, log(4)), 3)  # a factor of 2, where a doubt is one of 4
    0.5
    """
    return abs(log((truth_ml + OFFSET_ML) / (answer_ml + OFFSET_ML))) / doubt
