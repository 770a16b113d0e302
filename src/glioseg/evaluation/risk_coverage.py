"""How well confidence ranks errors: how good the answers are if only the surest are kept.

The risk–coverage curve of selective prediction (Geifman & El-Yaniv 2017), risk being 1 − Dice; the area
under it (AURC) is judged beside that of the best order and of no order at all (Geifman, Uziel & El-Yaniv
2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers").
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column

Cases = Float64[NDArray, "cases"]


def risk_coverage(confidence: Cases, dice: Cases) -> Cases:
    """Mean risk of the 1, 2, … n surest cases.

    Cases of one confidence come in no order: each counts as the mean of them all.

    >>> risk_coverage(np.array([0.9, 0.2, 0.5]), np.array([1.0, 0.0, 0.5])).tolist()
    [0.0, 0.25, 0.5]
    >>> risk_coverage(np.array([0.7, 0.7]), np.array([1.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    _, group = np.unique(-confidence, return_inverse=True)
    risk = (np.bincount(group, 1 - dice) / np.bincount(group))[np.sort(group)]
    curve: Cases = np.cumsum(risk) / np.arange(1, len(risk) + 1)
    return curve


def selective_scores(table: pd.DataFrame) -> dict[str, Any]:
    """Judge the confidence of each region over cases.

    Args:
        table: one row a case, with the columns of `cases.judge_cases`.

    Returns:
        `risk_coverage` → region → `aurc`; `aurc_ideal`, of cases sorted by their true Dice; `aurc_random`,
        of cases in no order; `excess`: 0 where confidence ranks as well as the truth, 1 where no better than
        chance, None where all cases are the same; `expected_dice`, the mean confidence, and `off_by`, its
        mean distance from the true Dice. Nothing where the model has no confidence.
    """
    if column("confidence", "WT") not in table:
        return {}
    return {"risk_coverage": {region: _scores(*_of(table, region)) for region in REGIONS}}


def curves(table: pd.DataFrame, region: str) -> dict[str, Cases]:
    """The risk–coverage curve by confidence, by true Dice, and of no order, by these names."""
    confidence, dice = _of(table, region)
    return {
        "confidence": risk_coverage(confidence, dice),
        "ideal": risk_coverage(dice, dice),
        "random": risk_coverage(np.zeros(len(dice)), dice),
    }


def _of(table: pd.DataFrame, region: str) -> tuple[Cases, Cases]:
    confidence, dice = (table[column(name, region)].to_numpy(np.float64) for name in ("confidence", "dice"))
    return confidence, dice


def _scores(confidence: Cases, dice: Cases) -> dict[str, float | None]:
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
        "off_by": float(np.abs(confidence - dice).mean()),
    }
