"""How sure an answer is: entropy voxel by voxel, and an interval around each region's volume."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, exp, log

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy.special import entr

from glioseg.data.answers import BRAIN, RegionVolume
from glioseg.labels import REGIONS, regions_from_labels
from glioseg.nets.regions import label_probabilities
from glioseg.nets.settings import Regions3

COVERAGE = 0.9
"""Share of cases whose true volume the interval is to hold."""
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
    reach: Regions3,
    voxel_ml: float,
) -> dict[str, RegionVolume]:
    """The volume of each region with its interval, which ends at the volume of the brain.

    Args:
        labels: the final dense labels.
        regions: calibrated probabilities of the voxels that may be tumour: those of the brain.
        reach: of WT, TC and ET, as `choose_reach` chose it.
        voxel_ml: volume of a voxel.
    """
    voxels = regions_from_labels(labels).sum(axis=(0, 1, 2))
    volumes = {}
    for index, name in enumerate(REGIONS):
        sure, possible = (np.count_nonzero(regions[..., index] >= p) * voxel_ml for p in (SURE, POSSIBLE))
        found = interval(float(voxels[index]) * voxel_ml, doubt(sure, possible), reach[index])
        volumes[name] = replace(found, high_ml=min(found.high_ml, max(len(regions) * voxel_ml, found.ml)))
    return volumes


def doubt(sure_ml: float, possible_ml: float) -> float:
    """How far apart the sure and the possible volume of a region are, as the logarithm of their ratio.

    >>> round(doubt(9.0, 19.0), 3)  # ln (20 / 10)
    0.693
    """
    return max(log((possible_ml + OFFSET_ML) / (sure_ml + OFFSET_ML)), LEAST_DOUBT)


def interval(ml: float, doubt: float, reach: float) -> RegionVolume:
    """A volume, and `reach` times its doubt to either side of it, on the scale of ratios.

    >>> interval(9.0, log(2), 1.0)  # 10 / 2 − 1 to 10 · 2 − 1
    RegionVolume(ml=9.0, low_ml=4.0, high_ml=19.0)
    """
    factor = exp(reach * doubt)
    low, high = ((ml + OFFSET_ML) * by - OFFSET_ML for by in (1 / factor, factor))
    return RegionVolume(ml, max(low, 0.0), high)


def choose_reach(truth_ml: Sequence[float], answer_ml: Sequence[float], doubts: Sequence[float]) -> float:
    """The smallest reach whose intervals hold the true volume often enough.

    Normalised split-conformal (Papadopoulos et al. 2008; Lei et al. 2018): ⌈0.9 · (n + 1)⌉ of the n
    cases are to be held, so that the share holds for a new case too; all of them where n is below 9.

    Args:
        truth_ml: true volume of each case.
        answer_ml: volume of each answer.
        doubts: doubt of each answer.
    """
    scores = sorted(
        abs(log((true + OFFSET_ML) / (ml + OFFSET_ML))) / doubt
        for true, ml, doubt in zip(truth_ml, answer_ml, doubts, strict=True)
    )
    return scores[min(ceil(COVERAGE * (len(scores) + 1)), len(scores)) - 1]
