"""Whether probabilities mean what they say, on cases that no choice was made by (Guo et al. 2017)."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.prediction import BrainProbabilities

BINS = 15
"""As in the paper, and where validation chooses the temperature (`nets.calibration`)."""


def calibration_error(probability: Float32[NDArray, "voxels"], truth: Bool[NDArray, "voxels"]) -> float:
    """Expected calibration error: Σ n_b / n · |share truly inside − mean probability| over equal bins.

    >>> said = np.array([0.9, 0.9, 0.9, 0.9, 0.2], np.float32)  # of four voxels at 0.9, two are inside
    >>> round(calibration_error(said, np.array([True, True, False, False, False])), 3)  # (4 · 0.4 + 0.2) / 5
    0.36
    """
    bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(bins, truth - probability.astype(np.float64), minlength=BINS)
    return float(np.abs(gap).sum() / len(truth))


def calibration_errors(said: BrainProbabilities, truth: UInt8[NDArray, "d h w"]) -> dict[str, float]:
    """The calibration error of each region over the voxels of one brain.

    Args:
        said: what the model says of the case.
        truth: dense labels on the scan's own grid.
    """
    inside = regions_from_labels(said.same_voxels(truth))
    return {
        region: calibration_error(said.values[:, index], inside[:, index])
        for index, region in enumerate(REGIONS)
    }
