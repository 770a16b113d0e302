"""Estimation of a prediction's quality: the expected Dice of each region, and reasons for low confidence.

The Dice that follows from a network's own probabilities is too high where the network fails. A regression on
predictions for uncorrupted and for corrupted cases corrects it (`selection/corruption_study`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.old_names import FIELDS, with_current_names
from glioseg.models.inference.out_of_distribution import Features, OutOfDistribution

LOW_DICE = 0.6
"""A prediction with a lower Dice is a bad one. It is the highest threshold of the expected Dice."""
FALSE_ALARMS = 0.07
"""Share of the good predictions of calibration whose expected Dice may be below the threshold. Of new cases
it shall be at most a tenth; they exceed the share of a dozen calibration cases."""
MIN_GOOD = 10
"""With fewer good predictions, the threshold is `LOW_DICE`."""
MIN_CASES_ABSENT = 5
"""The probability that a region is truly absent is fitted if predictions without it come from at least this
many cases that lack it, and from as many that do not: all copies of a case tell the same."""
CLIP = 0.01
"""Margin from 0 and 1 to which Dice values are clipped, so that their log odds are finite."""
VOLUME_OFFSET_ML = 1.0
"""Added to a mean volume before division, so that the variation of a tiny region is not huge."""
RIDGE = 0.5
"""Weight of the penalty that pulls a fit on few predictions towards the prior: expected Dice is true Dice."""

Coefficients = tuple[float, ...]
FoundCoefficients = tuple[Coefficients, Coefficients, Coefficients]
EmptyCoefficients = tuple[Coefficients | None, Coefficients | None, Coefficients | None]
Regions3 = tuple[float, float, float]


@dataclass(frozen=True)
class ExpectedDice:
    """The Dice of one prediction that its probabilities imply, for each of WT, TC and ET.

    `dice`: the implied Dice; an empty region has the value of the enclosing region; `empty`: whether the
    predicted region is empty; `agreement`: how well mirror images and the networks of an ensemble agree on
    the volume, from 0 to 1, see `volume_agreement`.
    """

    dice: Float64[NDArray, "3"]
    empty: Bool[NDArray, "3"]
    agreement: Float64[NDArray, "3"] = field(default_factory=lambda: np.ones(3))


def volume_agreement(pass_ml: Float64[NDArray, "passes 3"]) -> Float64[NDArray, "3"]:
    """1 minus the coefficient of variation of each region's volume in several passes; 1 for one pass.

    Args:
        pass_ml: the sum of each region's probabilities, in ml, in each pass.

    >>> volume_agreement(np.array([[8.0, 0.0, 1.0], [10.0, 0.0, 5.0]])).round(3).tolist()  # σ is 1, 0 and 2
    [0.9, 1.0, 0.5]
    """
    if len(pass_ml) < 2:
        return np.ones(3)
    variation: NDArray[np.float64] = pass_ml.std(axis=0) / (pass_ml.mean(axis=0) + VOLUME_OFFSET_ML)
    return np.clip(1 - variation, 0, 1)


def expected_dice(
    labels: UInt8[NDArray, "voxels"],
    regions: Float32[NDArray, "voxels 3"],
    *,
    pass_ml: Float64[NDArray, "passes 3"],
) -> ExpectedDice:
    """The Dice that calibrated probabilities imply for a prediction: 2·Σ p·ŷ / (Σ p + Σ ŷ).

    Args:
        labels: the final dense labels of the brain's voxels.
        regions: calibrated probabilities of the same voxels.
        pass_ml: as for `volume_agreement`.

    >>> likely = np.array([[0.9, 0.6, 0.1], [0.6, 0.2, 0.0]], np.float32)
    >>> labels = np.array([1, 2], np.uint8)
    >>> expected = expected_dice(labels, likely, pass_ml=np.empty((0, 3)))
    >>> expected.dice.round(3).tolist()  # 3 / 3.5, 1.2 / 1.8, and ET as TC
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
    return ExpectedDice(dice, empty, volume_agreement(pass_ml))


@dataclass(frozen=True)
class QualityEstimator:
    """Corrects the expected Dice, and finds the reasons for low confidence.

    `found`: coefficients for each of WT, TC and ET, of predictions that contain the region. The estimate is
    σ(a + b₀ · logit(d₀) + b₁ · logit(d₁) + … + c · (logit(g) − logit(1))), where d₀ is the implied Dice of
    the region, d₁ that of the region around it, and so on: where the whole tumour is uncertain, its parts are
    too; g is the agreement of the passes on the region. Values are clipped, so that log odds are finite;
    slopes that are left out are 0. `empty`: the same, of predictions where the region is empty; None where
    calibration had too few of them for a probability of true absence.
    `out_of_distribution`: detects scans that differ from the training data; None where training cases were
    too few. `low_dice`: thresholds of the expected Dice of each region, below which confidence is low.
    """

    found: FoundCoefficients
    empty: EmptyCoefficients
    out_of_distribution: OutOfDistribution | None
    low_dice: Regions3 = (LOW_DICE, LOW_DICE, LOW_DICE)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "QualityEstimator":
        """Rebuild an estimator from the JSON form of `asdict`, which has lists for tuples."""
        record = with_current_names(record, FIELDS)
        features = record["out_of_distribution"]
        (wt, tc, et), (no_wt, no_tc, no_et) = record["found"], record["empty"]
        low_wt, low_tc, low_et = map(float, record.get("low_dice", (LOW_DICE,) * 3))
        return cls(
            (_numbers(wt), _numbers(tc), _numbers(et)),
            (_numbers_if_known(no_wt), _numbers_if_known(no_tc), _numbers_if_known(no_et)),
            OutOfDistribution.from_record(features) if features else None,
            (low_wt, low_tc, low_et),
        )

    def estimate_dice(self, expected: ExpectedDice) -> dict[str, float | None]:
        """The estimated Dice of each region.

        For an empty region, it is the probability that the region is truly absent; None if it is not known.
        """
        lines = [
            absent if empty else found
            for found, absent, empty in zip(self.found, self.empty, expected.empty, strict=True)
        ]
        return {
            name: None if line is None else float(_estimate(line, _terms([expected], region))[0])
            for region, (name, line) in enumerate(zip(REGIONS, lines, strict=True))
        }

    def low_confidence_reasons(
        self, estimates: Mapping[str, float | None], features: Features, *, basis: str = ""
    ) -> tuple[str, ...]:
        """The reasons for low confidence as text; empty where confidence is not low.

        Args:
            estimates: as from `estimate_dice`, for all or some of the regions.
            features: features of the scan.
            basis: text behind each number.
        """
        limits = dict(zip(REGIONS, self.low_dice, strict=True))
        low = [
            f"{name}: not found, which is uncertain"
            if dice is None
            else f"{name}: expected Dice {dice:.2f}{basis}"
            for name, dice in estimates.items()
            if dice is None or dice < limits[name]
        ]
        unusual = self.out_of_distribution.unusual_features(features) if self.out_of_distribution else []
        return (*low, *([f"out of distribution: {', '.join(unusual)}"] if unusual else []))


def fit_dice_regression(
    expected: Sequence[ExpectedDice],
    dice: Float64[NDArray, "scans 3"],
    weights: Float64[NDArray, "scans"],
    cases: Shaped[NDArray, "scans"],
) -> QualityEstimator:
    """Regress the true Dice on the implied Dice of the region and of those around it, and on the agreement.

    Each region has a fractional logistic regression (Papke & Wooldridge 1996). It is monotonic: a higher
    implied Dice never lowers the estimate. The thresholds of low confidence are those that at most
    `FALSE_ALARMS` of the good predictions fall below, each estimated by the regression of the other cases.

    Args:
        expected: of each prediction.
        dice: the true Dice; NaN for regions that cannot be judged, which do not count.
        weights: weight of each prediction; a weight of 2 counts as two predictions.
        cases: the case of each prediction; the copies of a case are left out together.

    Returns:
        An estimator without the detection of scans unlike the training data.
    """
    found, absent, low = [], [], []
    empty = np.stack([each.empty for each in expected])
    for region in range(len(REGIONS)):
        judged = np.isfinite(dice[:, region])
        contains, hole = judged & ~empty[:, region], judged & empty[:, region]
        terms, target = _terms(expected, region), dice[:, region]
        data = terms[contains], target[contains], weights[contains]
        found.append(_fit_logistic(*data))
        low.append(_low_dice(*data, cases[contains]))
        truly = target[hole] >= LOW_DICE
        sides = [len(np.unique(cases[hole][truly == side])) for side in (True, False)]
        known = min(sides) >= MIN_CASES_ABSENT
        absent.append(_fit_logistic(terms[hole], target[hole], weights[hole]) if known else None)
    (wt, tc, et), (no_wt, no_tc, no_et), (low_wt, low_tc, low_et) = found, absent, low
    return QualityEstimator((wt, tc, et), (no_wt, no_tc, no_et), None, (low_wt, low_tc, low_et))


def _low_dice(
    terms: Float64[NDArray, "scans terms"],
    dice: Float64[NDArray, "scans"],
    weights: Float64[NDArray, "scans"],
    cases: Shaped[NDArray, "scans"],
) -> float:
    """The threshold of a region's expected Dice, from the estimates of left-out cases."""
    good, names = dice >= LOW_DICE, np.unique(cases)
    if good.sum() < MIN_GOOD or len(names) < 2:
        return LOW_DICE
    estimates = np.empty(len(dice))
    for name in names:
        own = cases == name
        line = _fit_logistic(terms[~own], dice[~own], weights[~own])
        estimates[own] = _estimate(line, terms[own])
    return min(LOW_DICE, float(f"{np.quantile(estimates[good], FALSE_ALARMS, method='lower'):.4g}"))


def _terms(expected: Sequence[ExpectedDice], region: int) -> Float64[NDArray, "scans terms"]:
    """1, the log odds of the implied Dice of the region and of those around it, and of the agreement.

    Those of the agreement are 0 for full agreement, hence for one pass.
    """
    dice = _log_odds(np.stack([each.dice for each in expected]))
    agreement = _log_odds(np.array([each.agreement[region] for each in expected])) - _log_odds(np.ones(1))
    return np.column_stack([np.ones(len(expected)), dice[:, region::-1], agreement])


def _fit_logistic(
    terms: Float64[NDArray, "scans terms"],
    dice: Float64[NDArray, "scans"],
    weights: Float64[NDArray, "scans"],
) -> Coefficients:
    """Intercept and slopes of the terms; the prior is that the Dice is the implied Dice of the region."""
    slopes = terms.shape[1] - 1
    prior = np.array([0.0, 1.0, *[0.0] * (slopes - 1)])

    def loss(line: Float64[NDArray, "terms"]) -> tuple[float, Float64[NDArray, "terms"]]:
        eta, change = terms @ line, line - prior
        value = weights @ (np.logaddexp(0, eta) - dice * eta) + RIDGE * np.square(change).sum()
        return float(value), terms.T @ (weights * (expit(eta) - dice)) + 2 * RIDGE * change

    bounds = [(None, None), *[(0, None)] * slopes]
    line = minimize(loss, prior, method="L-BFGS-B", jac=True, bounds=bounds).x
    return _numbers(float(f"{number:.4g}") for number in line)


def _estimate(line: Coefficients, terms: Float64[NDArray, "scans terms"]) -> Float64[NDArray, "scans"]:
    estimates: NDArray[np.float64] = expit(terms[:, : len(line)] @ np.array(line))
    return estimates


def _log_odds(dice: Float64[NDArray, "*n"]) -> Float64[NDArray, "*n"]:
    odds: NDArray[np.float64] = logit(np.clip(dice, CLIP, 1 - CLIP))
    return odds


def _numbers_if_known(record: Any) -> Coefficients | None:
    return None if record is None else _numbers(record)


def _numbers(record: Any) -> Coefficients:
    return tuple(float(number) for number in record)
