"""Rules of the promotion gate, and tables of Dice that it compares."""

import numpy as np
import pandas as pd

from glioseg.mlops.registry.gate import CHAMPION_ROLE, Baseline, decide
from glioseg.params.sections import DiceMargin, PromotionLimits, Register

NO_LIMITS = PromotionLimits(calibration_error=None, case_s=None, memory_gb=None)


def make_rules(name: str = "glioseg", margin: float = 0.0, **changes: object) -> Register:
    """Rules with the same margin for all regions and no limits; keyword arguments replace other settings."""
    margins = DiceMargin(wt=margin, tc=margin, et=margin, mean=margin)
    given = {"builtin": False, "confidence": 0.95, "samples": 2000, "seed": 1, "limits": NO_LIMITS}
    return Register(name=name, margin=margins, **given | changes)


def table(**dice):
    """A table of cases, each with one Dice for all three regions or with one for each region."""
    rows = [[case, *(d if isinstance(d, tuple) else (d, d, d))] for case, d in dice.items()]
    return pd.DataFrame(rows, columns=["case", "dice_wt", "dice_tc", "dice_et"])


def random_table(seed, cases=30, shift=0.0):
    """Random Dice of some cases; tables of different seeds differ a little in each case."""
    dice = np.random.default_rng(0).uniform(0.5, 0.9, (cases, 3))
    dice = dice + np.random.default_rng(seed).normal(shift, 0.03, (cases, 3))
    return table(**{f"case {index}": tuple(row) for index, row in enumerate(dice)})


def decide_on(new, champion, measured=None, **rules):
    """The decision about a table, compared with that of a champion or of none."""
    baselines = [] if champion is None else [Baseline("4", CHAMPION_ROLE, champion)]
    return decide(new, baselines, rules=make_rules(**rules), measured=measured or {})
