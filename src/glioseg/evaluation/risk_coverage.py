"""Risk–coverage analysis: whether predictions of higher confidence have a higher quality.

The curve is that of selective prediction (Geifman & El-Yaniv 2017), with risk 1 − Dice. The area under it
(AURC) is compared with that of the ideal order and of a random order (Geifman, Uziel & El-Yaniv 2019,
"Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers").
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column

PerCase = Float64[NDArray, "cases"]


def risk_coverage(confidence: PerCase, dice: PerCase) -> PerCase:
    """Mean risk of the 1, 2, … n most confident cases.

    Cases of equal confidence have no order, so each has their mean risk.

    >>> risk_coverage(np.array([0.9, 0.2, 0.5]), np.array([1.0, 0.0, 0.5])).tolist()
    [0.0, 0.25, 0.5]
    >>> risk_coverage(np.array([0.7, 0.7]), np.array([1.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    _, group = np.unique(-confidence, return_inverse=True)
    risk = (np.bincount(group, 1 - dice) / np.bincount(group))[np.sort(group)]
    curve: PerCase = np.cumsum(risk) / np.arange(1, len(risk) + 1)
    return curve


def risk_coverage_scores(table: pd.DataFrame) -> dict[str, Any]:
    """Scores of the confidence of each region.

    Args:
        table: one row for each case, with the columns of `per_case.measure_cases`.

    Returns:
        `risk_coverage` → region → `aurc`; `aurc_ideal`, for the order by true Dice; `aurc_random`, for a
        random order; `excess`: 0 if confidence ranks as well as the true Dice, 1 if no better than chance,
        None if all cases have the same Dice; `expected_dice`, the mean confidence;
        `mean_absolute_error`, that of the confidence. Cases whose confidence in the region is not known do
        not count; a region without any other case has no scores. Empty for a model without confidence.
    """
    if column("confidence", "WT") not in table:
        return {}
    known = [region for region in REGIONS if table[column("confidence", region)].notna().any()]
    return {"risk_coverage": {region: _scores(*_confidence_and_dice(table, region)) for region in known}}


def curves(table: pd.DataFrame, region: str) -> dict[str, PerCase]:
    """The risk–coverage curves for the orders "confidence", "ideal" (true Dice) and "random"."""
    confidence, dice = _confidence_and_dice(table, region)
    return {
        "confidence": risk_coverage(confidence, dice),
        "ideal": risk_coverage(dice, dice),
        "random": risk_coverage(np.zeros(len(dice)), dice),
    }


def _confidence_and_dice(table: pd.DataFrame, region: str) -> tuple[PerCase, PerCase]:
    """Both for the cases whose confidence in this region is known."""
    known = table[table[column("confidence", region)].notna()]
    confidence, dice = (known[column(name, region)].to_numpy(np.float64) for name in ("confidence", "dice"))
    return confidence, dice


def _scores(confidence: PerCase, dice: PerCase) -> dict[str, float | None]:
    area = float(risk_coverage(confidence, dice).mean())
    ideal = float(risk_coverage(dice, dice).mean())
    by_chance = 1 - float(dice.mean())
    worse = by_chance - ideal
    return {
        "aurc": area,
        "aurc_ideal": ideal,
        "aurc_random": by_chance,
        "excess": (area - ideal) / worse if worse > 1e-9 else None,
        "expected_dice": float(confidence.mean()),
        "mean_absolute_error": float(np.abs(confidence - dice).mean()),
    }
