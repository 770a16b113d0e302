"""Estimation of a prediction's quality: the expected Dice of each region, and reasons for low confidence.

The Dice that follows from a network's own probabilities is too high where the network fails. A regression on
predictions for uncorrupted and for corrupted validation cases corrects it (`selection/corruption_study`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.old_names import FIELDS, with_current_names
from glioseg.models.inference.out_of_distribution import Features, OutOfDistribution

LOW_DICE = 0.6
"""Expected Dice below which confidence is low."""
CLIP = 0.01
"""Margin from 0 and 1 to which Dice values are clipped, so that their log odds are finite."""
RIDGE = 0.5
"""Weight of the penalty that pulls a fit on few predictions towards the prior: expected Dice is true Dice."""

Coefficients = tuple[float, float]
RegionCoefficients = tuple[Coefficients, Coefficients, Coefficients]


@dataclass(frozen=True)
class ExpectedDice:
    """The Dice of one prediction that its probabilities imply, for each of WT, TC and ET.

    `dice`: the implied Dice; an empty region has the value of the enclosing region; `empty`: whether the
    predicted region is empty.
    """

    dice: Float64[NDArray, "3"]
    empty: Bool[NDArray, "3"]


def expected_dice(labels: UInt8[NDArray, "voxels"], regions: Float32[NDArray, "voxels 3"]) -> ExpectedDice:
    """The Dice that calibrated probabilities imply for a prediction: 2·Σ p·ŷ / (Σ p + Σ ŷ).

    Args:
        labels: the final dense labels of the brain's voxels.
        regions: calibrated probabilities of the same voxels.

    >>> likely = np.array([[0.9, 0.6, 0.1], [0.6, 0.2, 0.0]], np.float32)
    >>> labels = np.array([1, 2], np.uint8)
    >>> expected_dice(labels, likely).dice.round(3).tolist()  # 3 / 3.5, 1.2 / 1.8, and ET as TC
    [0.857, 0.667, 0.667]
    """
    predicted = regions_from_labels(labels)
    shared = np.where(predicted, regions, np.float32(0)).sum(axis=0, dtype=np.float64)
    total = regions.sum(axis=0, dtype=np.float64) + predicted.sum(axis=0)
    dice = 2 * shared / np.maximum(total, 1e-9)
    empty: NDArray[np.bool_] = predicted.sum(axis=0) == 0
    around = 0.5  # an empty whole tumour has no enclosing region
    for region in range(len(REGIONS)):
        around = dice[region] = around if empty[region] else dice[region]
    return ExpectedDice(dice, empty)


@dataclass(frozen=True)
class QualityEstimator:
    """Corrects the expected Dice, and finds the reasons for low confidence.

    `found`, `empty`: coefficients (a, b) for each of WT, TC and ET, of predictions that contain the region
    and of predictions where it is empty: the estimate is σ(a + b · logit(expected Dice)).
    `out_of_distribution`: detects scans that differ from the training data; None where training cases were
    too few.
    """

    found: RegionCoefficients
    empty: RegionCoefficients
    out_of_distribution: OutOfDistribution | None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "QualityEstimator":
        """Rebuild an estimator from the JSON form of `asdict`, which has lists for tuples."""
        record = with_current_names(record, FIELDS)
        features = record["out_of_distribution"]
        return cls(
            _region_coefficients(record["found"]),
            _region_coefficients(record["empty"]),
            OutOfDistribution.from_record(features) if features else None,
        )

    def estimate_dice(self, expected: ExpectedDice) -> dict[str, float]:
        """The estimated Dice of each region; for an empty region, the probability that it is truly empty."""
        lines = np.where(expected.empty[:, np.newaxis], self.empty, self.found)
        estimates = expit(lines[:, 0] + lines[:, 1] * _log_odds(expected.dice))
        return dict(zip(REGIONS, estimates.tolist(), strict=True))

    def low_confidence_reasons(self, estimates: Mapping[str, float], features: Features) -> tuple[str, ...]:
        """The reasons for low confidence as text; empty where confidence is not low.

        Args:
            estimates: as from `estimate_dice`.
            features: features of the scan.
        """
        low = [f"{name}: expected Dice {dice:.2f}" for name, dice in estimates.items() if dice < LOW_DICE]
        unusual = self.out_of_distribution.unusual_features(features) if self.out_of_distribution else []
        return (*low, *([f"out of distribution: {', '.join(unusual)}"] if unusual else []))


def fit_dice_regression(
    expected: Float64[NDArray, "cases 3"],
    empty: Bool[NDArray, "cases 3"],
    dice: Float64[NDArray, "cases 3"],
    weights: Float64[NDArray, "cases"],
) -> tuple[RegionCoefficients, RegionCoefficients]:
    """Regress the true Dice on the expected Dice: `found` and `empty` of a `QualityEstimator`.

    Each region has a fractional logistic regression (Papke & Wooldridge 1996). It is monotonic: a higher
    expected Dice never lowers the estimate.

    Args:
        expected: `ExpectedDice.dice` of each prediction.
        empty: `ExpectedDice.empty` of each prediction.
        dice: the true Dice.
        weights: weight of each prediction; a weight of 2 counts as two predictions.
    """
    (wt, e_wt), (tc, e_tc), (et, e_et) = (
        [
            _fit_logistic(_log_odds(expected[rows, r]), dice[rows, r], weights[rows])
            for rows in (~empty[:, r], empty[:, r])
        ]
        for r in range(len(REGIONS))
    )
    return (wt, tc, et), (e_wt, e_tc, e_et)


def _fit_logistic(
    log_odds: Float64[NDArray, "cases"], dice: Float64[NDArray, "cases"], weights: Float64[NDArray, "cases"]
) -> Coefficients:
    prior = np.array([0.0, 1.0])

    def loss(line: Float64[NDArray, "2"]) -> float:
        eta = line[0] + line[1] * log_odds
        cross_entropy = np.logaddexp(0, eta) - dice * eta
        return float(weights @ cross_entropy + RIDGE * np.square(line - prior).sum())

    a, b = minimize(loss, prior, method="L-BFGS-B", bounds=[(None, None), (0, None)]).x
    return (float(f"{a:.4g}"), float(f"{b:.4g}"))


def _log_odds(dice: Float64[NDArray, "*n"]) -> Float64[NDArray, "*n"]:
    odds: NDArray[np.float64] = logit(np.clip(dice, CLIP, 1 - CLIP))
    return odds


def _region_coefficients(record: Any) -> RegionCoefficients:
    wt, tc, et = ((float(a), float(b)) for a, b in record)
    return (wt, tc, et)
