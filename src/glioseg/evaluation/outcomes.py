"""Scores of predicted grade and survival, each with the score of a baseline without a network."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from glioseg.data.cohort.cases import Case

LGG = "LGG"
THRESHOLD = 0.5
SURVIVAL_BOUNDS_DAYS = (300.0, 450.0)
"""The survival classes of BraTS: short below 10 months, long above 15, mid between (months of 30 days)."""


def outcome_scores(table: pd.DataFrame, *, training: Sequence[Case]) -> dict[str, Any]:
    """Scores of the predicted outcomes, over the cases whose outcome is known.

    Args:
        table: one row for each test case: `grade`, `survival_days` and, if the model has these outputs,
            `grade_lgg`, `survival_days_predicted`.
        training: the training cases of the model, on which the baselines are computed.

    Returns:
        `grade` → `grade_scores` and `survival` → `survival_scores`, for each output in the table.
    """
    scores: dict[str, Any] = {}
    if "grade_lgg" in table:
        known = table[table["grade"].notna()]
        lgg = (known["grade"] == LGG).to_numpy(bool)
        scores["grade"] = grade_scores(lgg, known["grade_lgg"].to_numpy(np.float64))
    if "survival_days_predicted" in table:
        known = table[table["survival_days"].notna()]
        days = [case.survival_days for case in training if case.survival_days is not None]
        scores["survival"] = survival_scores(
            known["survival_days"].to_numpy(np.float64),
            known["survival_days_predicted"].to_numpy(np.float64),
            training_days=np.array(days, np.float64),
        )
    return scores


def grade_scores(lgg: NDArray[np.bool_], probability: Float[NDArray, "cases"]) -> dict[str, Any]:
    """The area under the ROC curve, and balanced accuracy at threshold 0.5.

    The baseline is any constant prediction, which scores 0.5 for both.

    Args:
        lgg: whether a case is of low grade; the scores are defined only if both grades occur.
        probability: probability of low grade.

    Returns:
        `cases`, `auc`, `balanced_accuracy`, `baseline` → the same two, and `undefined` → why a value is None.

    >>> grade_scores(np.array([False, True, True]), np.array([0.2, 0.2, 0.9]))["auc"]  # a tie counts half
    0.75
    """
    scores: dict[str, Any] = {"cases": len(lgg), "auc": None, "balanced_accuracy": None, "undefined": {}}
    if len(set(lgg.tolist())) == 2:
        scores["auc"] = float(roc_auc_score(lgg, probability))
        scores["balanced_accuracy"] = float(balanced_accuracy_score(lgg, probability >= THRESHOLD))
    else:
        reason = f"expected test cases of both grades, got {lgg.sum()} LGG and {(~lgg).sum()} HGG"
        scores["undefined"] = {"auc": reason, "balanced_accuracy": reason}
    return scores | {"baseline": {"auc": 0.5, "balanced_accuracy": 0.5}}


def survival_scores(
    days: Float[NDArray, "cases"],
    predicted_days: Float[NDArray, "cases"],
    *,
    training_days: Float[NDArray, "others"],
) -> dict[str, Any]:
    """Accuracy in BraTS's three classes, Spearman's rank correlation, mean squared error in days².

    The baseline predicts the same for every case: the most frequent class of the training cases (the
    shorter of equally frequent ones), and their mean survival.

    Args:
        days: true survival.
        predicted_days: predicted survival.
        training_days: known survival of the training cases.

    Returns:
        `cases`, `accuracy`, `spearman`, `mse_days2`, `baseline` → the same three, and `undefined` → why a
        value is None.
    """
    scores: dict[str, Any] = {"cases": len(days), "accuracy": None, "spearman": None, "mse_days2": None}
    baseline: dict[str, float | None] = {"accuracy": None, "spearman": 0.0, "mse_days2": None}
    undefined: dict[str, str] = {}
    classes = survival_class(days)
    if len(days):
        scores["accuracy"] = float(np.mean(classes == survival_class(predicted_days)))
        scores["mse_days2"] = float(np.mean((days - predicted_days) ** 2))
    else:
        reason = "expected a test case of known survival, got none"
        undefined = {"accuracy": reason, "mse_days2": reason}
    if len(days) and len(training_days):
        counts = Counter(sorted(survival_class(training_days).tolist()))
        baseline["accuracy"] = float(np.mean(classes == counts.most_common(1)[0][0]))
        baseline["mse_days2"] = float(np.mean((days - training_days.mean()) ** 2))
    if len(set(days.tolist())) > 1 and len(set(predicted_days.tolist())) > 1:
        scores["spearman"] = float(spearmanr(days, predicted_days).statistic)
    else:
        undefined["spearman"] = "expected survivals and predictions that differ between cases"
    return scores | {"baseline": baseline, "undefined": undefined}


def survival_class(days: Float[NDArray, "cases"]) -> Int64[NDArray, "cases"]:
    """The class of a survival: 0 short, 1 mid, 2 long; both bounds are mid.

    >>> survival_class(np.array([299.9, 300, 450, 450.1])).tolist()
    [0, 1, 1, 2]
    """
    short, long = SURVIVAL_BOUNDS_DAYS
    classes: NDArray[np.int64] = (days >= short).astype(np.int64) + (days > long)
    return classes
