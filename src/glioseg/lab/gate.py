"""Whether a new model may take the champion's place: its Dice beside the champion's, case by case."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glioseg.eval.columns import column
from glioseg.labels import REGIONS


class GateError(ValueError):
    """Two tables of cases that cannot be compared."""


@dataclass(frozen=True)
class Verdict:
    """The gate's decision: `difference` is the mean over cases of new minus standing Dice."""

    promoted: bool
    difference: float
    reason: str


def judge(candidate: pd.DataFrame, champion: pd.DataFrame, *, margin: float) -> Verdict:
    """Compare two models on the same test cases.

    Each case gives one number per model, the mean Dice of WT, TC and ET, and so one difference:
    paired, since an easy case is easy for both. The candidate passes if it loses no more than the
    margin in the mean.

    Args:
        candidate: a row a case: `case`, `dice_wt`, `dice_tc`, `dice_et`.
        champion: the same of the standing champion.
        margin: mean Dice that may be lost, 0 or more.

    Raises:
        GateError: the tables are of other cases.
    """
    ours, theirs = case_dice(candidate), case_dice(champion)
    if set(ours.index) != set(theirs.index):
        strange = sorted(set(ours.index) ^ set(theirs.index))
        raise GateError(f"gate: expected the same test cases, got {strange[:5]} in one table alone")
    differences = (ours - theirs[ours.index]).to_numpy(np.float64)
    mean = float(differences.mean())
    worse = int((differences < 0).sum())
    # A difference of rounding alone must not decide.
    promoted = mean >= -margin - 1e-9
    text = f"mean Dice {mean:+.4f} on {len(ours)} test cases ({worse} worse), margin {margin:g}"
    return Verdict(promoted, mean, text)


def case_dice(table: pd.DataFrame) -> "pd.Series[float]":
    """The mean Dice of WT, TC and ET by case."""
    return table.set_index("case")[[column("dice", region) for region in REGIONS]].mean(axis=1)
