"""Temperature scaling: probabilities that mean what they say (Guo et al. 2017).

Guo C, Pleiss G, Sun Y, Weinberger KQ: On Calibration of Modern Neural Networks. ICML 2017.

All that it needs of the validation cases are counts of voxels by logit, so that no case's
probabilities stay in memory and yet every voxel of the brain takes part.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from glioseg.models.networks.region_probabilities import FLOOR

BINS = 15
"""Of the expected calibration error, as in the paper."""
STEP = 0.01
HALF = 1620
"""Counts have 2·`HALF` bins, `STEP` wide, around logit 0: they hold the logit of `regions.FLOOR`."""
LOGITS = (np.arange(-HALF, HALF) + 0.5) * STEP
"""The middle of each bin."""
RANGE = (0.1, 10.0)
"""In which the temperature is sought: where truth and answer never disagree it would go to 0."""

Counts = Int64[NDArray, "3 2 logits"]
RegionCounts = Int64[NDArray, "2 logits"]


def count_logits(
    regions: Float32[NDArray, "voxels 3"], truth: Bool[NDArray, "voxels 3"]
) -> Int64[NDArray, "3 2 logits"]:
    """Count voxels by region, by whether they are truly in it, and by the logit of their probability.

    >>> counts = count_logits(np.full((5, 3), 0.5, np.float32), np.zeros((5, 3), bool))
    >>> int(counts[0, 0, HALF]), int(counts[0].sum())
    (5, 5)
    """
    bins = np.floor(_logits(regions) / STEP).astype(np.int64) + HALF
    keys = bins + 2 * HALF * truth
    return np.stack([np.bincount(key, minlength=4 * HALF).reshape(2, 2 * HALF) for key in keys.T])


def fit_temperature(counts: RegionCounts) -> float:
    """The temperature T whose probabilities σ(logit / T) have the smallest negative log-likelihood.

    1 where a region has no voxel, or all of them: nothing can be learned then.
    """
    if not counts.any(axis=1).all():
        return 1.0
    outside, inside = counts.astype(np.float64)

    def loss(log_temperature: float) -> float:
        z = LOGITS / np.exp(log_temperature)
        return float(outside @ np.logaddexp(0, z) + inside @ np.logaddexp(0, -z))

    low, high = np.log(RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def calibration_error(counts: RegionCounts, temperature: float) -> float:
    """Expected calibration error of a region: Σ n_b / n · |share truly in it − mean probability|.

    The sum runs over `BINS` equal bins of probability. A voxel's probability is that of the region,
    not that of the likelier answer.
    """
    probability = expit(LOGITS / temperature)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    voxels = counts.sum(axis=0)
    gap = np.bincount(bins, counts[1] - voxels * probability, minlength=BINS)
    return float(np.abs(gap).sum() / max(int(voxels.sum()), 1))


def calibrate(
    regions: Float32[NDArray, "*grid 3"], temperature: tuple[float, float, float]
) -> Float32[NDArray, "*grid 3"]:
    """Divide the logit of each region by its temperature; ½ stays ½.

    >>> calibrate(np.array([0.9, 0.5, 0.75], np.float32), (2.0, 2.0, 1.0)).round(3).tolist()
    [0.75, 0.5, 0.75]
    """
    scaled: NDArray[np.float32] = expit(_logits(regions) / np.array(temperature, np.float32))
    return scaled


def voxels_from(counts: RegionCounts, probability: float, temperature: float) -> int:
    """Voxels whose calibrated probability is at least this one."""
    return int(counts[:, temperature * logit(probability) <= LOGITS].sum())


def _logits(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid 3"]:
    values: NDArray[np.float32] = logit(np.clip(regions, np.float32(FLOOR), np.float32(1 - FLOOR)))
    return values
