"""Temperature scaling of probabilities, and the expected calibration error (Guo et al. 2017).

Guo C, Pleiss G, Sun Y, Weinberger KQ: On Calibration of Modern Neural Networks. ICML 2017.

The temperature is fitted on a histogram of logits. It includes every brain voxel of the validation cases,
without keeping the probabilities of any case in memory.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Shaped
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from glioseg.models.networks.outputs import PROBABILITY_FLOOR

BINS = 15
"""Number of probability bins of the expected calibration error, as in the paper."""
LOGIT_STEP = 0.01
"""Width of a bin of the voxel counts."""
HALF_BINS = 1620
"""Number of bins on each side of logit 0: enough for the logit of `PROBABILITY_FLOOR`."""
BIN_LOGITS = (np.arange(-HALF_BINS, HALF_BINS) + 0.5) * LOGIT_STEP
"""The middle of each bin."""
TEMPERATURE_RANGE = (0.1, 10.0)
"""Bounds of the search: if no voxel is wrong, the best temperature would be 0."""

Counts = Int64[NDArray, "3 2 logits"]
RegionCounts = Int64[NDArray, "2 logits"]


def count_logits(
    regions: Float32[NDArray, "voxels 3"], truth: Bool[NDArray, "voxels 3"]
) -> Int64[NDArray, "3 2 logits"]:
    """Voxel counts by region, by true membership (outside, inside), and by the logit of the probability.

    >>> counts = count_logits(np.full((5, 3), 0.5, np.float32), np.zeros((5, 3), bool))
    >>> int(counts[0, 0, HALF_BINS]), int(counts[0].sum())
    (5, 5)
    """
    bins = np.floor(_logits(regions) / LOGIT_STEP).astype(np.int64) + HALF_BINS
    keys = bins + 2 * HALF_BINS * truth
    return np.stack([np.bincount(key, minlength=4 * HALF_BINS).reshape(2, 2 * HALF_BINS) for key in keys.T])


def fit_temperature(counts: RegionCounts) -> float:
    """The temperature T for which σ(logit / T) has the smallest negative log-likelihood.

    The result is 1 if a region contains no voxel or all voxels, since these counts do not determine T.
    """
    if not counts.any(axis=1).all():
        return 1.0
    outside, inside = counts.astype(np.float64)

    def loss(log_temperature: float) -> float:
        z = BIN_LOGITS / np.exp(log_temperature)
        return float(outside @ np.logaddexp(0, z) + inside @ np.logaddexp(0, -z))

    low, high = np.log(TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def expected_calibration_error(
    probability: Float[NDArray, "groups"],
    inside: Shaped[NDArray, "groups"],
    voxels: Shaped[NDArray, "groups"],
) -> float:
    """Expected calibration error: Σ n_b / n · |share truly inside − mean probability| over `BINS` bins.

    The bins divide 0 to 1 equally. A voxel's probability is that of the region, not of the more probable
    class.

    Args:
        probability: probability of each group of voxels; a group may be a single voxel.
        inside: number of voxels of each group that are truly inside the region.
        voxels: number of voxels of each group.

    >>> p = np.array([0.9, 0.2])  # four voxels at 0.9, two of them inside, and one at 0.2, which is outside
    >>> round(expected_calibration_error(p, np.array([2, 0]), np.array([4, 1])), 3)  # (4 · 0.4 + 0.2) / 5
    0.36
    """
    bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(bins, inside - voxels * probability.astype(np.float64), minlength=BINS)
    return float(np.abs(gap).sum() / max(int(voxels.sum()), 1))


def calibration_error_of_counts(counts: RegionCounts, temperature: float) -> float:
    """The expected calibration error of a region after temperature scaling, from `count_logits`."""
    return expected_calibration_error(expit(BIN_LOGITS / temperature), counts[1], counts.sum(axis=0))


def apply_temperature(
    regions: Float32[NDArray, "*grid 3"], temperature: tuple[float, float, float]
) -> Float32[NDArray, "*grid 3"]:
    """Divide the logit of each region by its temperature; a probability of ½ stays ½.

    >>> apply_temperature(np.array([0.9, 0.5, 0.75], np.float32), (2.0, 2.0, 1.0)).round(3).tolist()
    [0.75, 0.5, 0.75]
    """
    scaled: NDArray[np.float32] = expit(_logits(regions) / np.array(temperature, np.float32))
    return scaled


def voxels_at_or_above(counts: RegionCounts, probability: float, temperature: float) -> int:
    """The number of voxels whose calibrated probability is at or above the given one."""
    return int(counts[:, temperature * logit(probability) <= BIN_LOGITS].sum())


def _logits(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid 3"]:
    low, high = np.float32(PROBABILITY_FLOOR), np.float32(1 - PROBABILITY_FLOOR)
    values: NDArray[np.float32] = logit(np.clip(regions, low, high))
    return values
