"""How sure an answer is: entropy voxel by voxel, and an interval around each region's volume."""

from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from scipy.special import entr

from glioseg.data.answers import RegionVolume
from glioseg.labels import REGIONS, regions_from_labels
from glioseg.nets.regions import label_probabilities
from glioseg.nets.settings import Regions3

LEVELS = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Volume levels to choose from; the smaller, the wider is the interval."""
COVERAGE = 0.9
"""Share of cases whose true volume the interval is to hold."""


def entropy_bits(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid"]:
    """Shannon entropy of each voxel's four label probabilities: 0 (sure) to 2 bits.

    >>> entropy_bits(np.array([[0.75, 0.5, 0.25], [0, 0, 0], [1, 0.5, 0]], np.float32)).tolist()
    [2.0, 0.0, 1.0]
    """
    bits: NDArray[np.float32] = entr(label_probabilities(regions)).sum(axis=-1) / np.float32(np.log(2))
    return bits


def region_volumes(
    labels: UInt8[NDArray, "d h w"],
    regions: Float32[NDArray, "voxels 3"],
    *,
    level: Regions3,
    voxel_ml: float,
) -> dict[str, RegionVolume]:
    """The volume of each region, from the smallest to the largest that its probabilities allow.

    The interval reaches from the volume of {p ≥ 1 − t} to that of {p ≥ t}, where t is the region's
    level, and it always holds the volume of the labels themselves.

    Args:
        labels: the final dense labels.
        regions: calibrated probabilities of the voxels that may be tumour: those of the brain.
        level: of WT, TC and ET, as `choose_level` chose it.
        voxel_ml: volume of a voxel.
    """
    voxels = regions_from_labels(labels).sum(axis=(0, 1, 2))
    volumes = {}
    for index, name in enumerate(REGIONS):
        p, t, ml = regions[..., index], level[index], float(voxels[index]) * voxel_ml
        low, high = (float(np.count_nonzero(p >= bound)) * voxel_ml for bound in (1 - t, t))
        volumes[name] = RegionVolume(ml, min(low, ml), max(high, ml))
    return volumes


def choose_level(
    truth: Sequence[float], intervals: Iterable[tuple[float, Sequence[tuple[float, float]]]]
) -> float:
    """The largest level whose intervals hold the true volume often enough; the last if none does.

    Enough is split-conformal: ⌈0.9 · (n + 1)⌉ of n cases, so that the share holds for a new case too,
    and all of them where n is below 9 (Vovk et al. 2005, "Algorithmic Learning in a Random World").

    Args:
        truth: true volume of each case, in any unit.
        intervals: levels, largest first, each with the interval of every case.
    """
    enough = min(ceil(COVERAGE * (len(truth) + 1)), len(truth))

    def held(bounds: Sequence[tuple[float, float]]) -> int:
        return sum(low <= true <= high for true, (low, high) in zip(truth, bounds, strict=True))

    tried = list(intervals)
    return next((level for level, bounds in tried if held(bounds) >= enough), tried[-1][0])
