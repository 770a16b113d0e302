"""The promotion gate: a candidate must be non-inferior on paired test cases, and within hard limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.evaluation.summary import bootstrap_means
from glioseg.params.sections import PromotionLimits, Register

MEAN = "mean"
COMPARED = (*REGIONS, MEAN)
"""What is compared: the Dice of each region, and the mean of the three."""
ROUNDING = 1e-9
"""Tolerance for rounding errors when a bound is compared with the margin."""

CHAMPION_ROLE, BEST_ROLE = "the champion", "the best champion so far"
LAST_ROLE = "the last champion"
"""The roles of a baseline; `LAST_ROLE` if someone removed the champion's alias."""


class GateError(GliosegError):
    """Two tables of cases that cannot be compared."""


@dataclass(frozen=True)
class RegionComparison:
    """The paired comparison of one region: both mean Dice values, their mean difference, and its bounds.

    Each bound has the confidence of the rules. `passed` is True if the lower bound is within the margin.
    """

    region: str
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    margin: float
    passed: bool

    def __str__(self) -> str:
        return (
            f"{self.region} Dice {self.difference:+.4f}, lower bound {self.low:+.4f}, margin {self.margin:g}"
        )


@dataclass(frozen=True)
class Baseline:
    """A version that the candidate is compared with.

    `role` is `CHAMPION_ROLE`, `LAST_ROLE` or `BEST_ROLE`; `table` has a row per case, like the candidate's.
    """

    version: str
    role: str
    table: pd.DataFrame

    def __str__(self) -> str:
        return f"{self.role}, version {self.version}"


@dataclass(frozen=True)
class BaselineComparison:
    """The comparison with one baseline.

    `regions` holds one result per region and one for their mean; `cases` has a row per case and region.
    """

    baseline: Baseline
    regions: tuple[RegionComparison, ...]
    cases: pd.DataFrame

    @property
    def failures(self) -> list[str]:
        """The regions that do not pass, each in one phrase."""
        return [f"{self._prefix}{region}" for region in self.regions if not region.passed]

    @property
    def mean(self) -> str:
        """The comparison of the mean Dice in one phrase."""
        return f"{self._prefix}{self.regions[-1]}"

    @property
    def _prefix(self) -> str:
        return "" if self.baseline.role == CHAMPION_ROLE else f"against {self.baseline}: "


@dataclass(frozen=True)
class LimitCheck:
    """A hard limit and the candidate's measured value; without a measurement the check fails."""

    name: str
    value: float | None
    limit: float
    passed: bool

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} {value}, limit {self.limit:g}"


@dataclass(frozen=True)
class GateDecision:
    """The gate's decision with its evidence.

    `comparisons` starts with the champion and is empty if there was no champion; `measured` holds the
    values that the limits were checked against; `remarks` names what could not be compared, and why.
    """

    promoted: bool
    reason: str
    limits: tuple[LimitCheck, ...]
    comparisons: tuple[BaselineComparison, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def decide(
    candidate: pd.DataFrame,
    baselines: Sequence[Baseline],
    *,
    rules: Register,
    measured: Mapping[str, float],
    remarks: Sequence[str] = (),
) -> GateDecision:
    """Promote a candidate that is within every limit and non-inferior to each baseline.

    Args:
        candidate: a row per case: `case`, `dice_wt`, `dice_tc`, `dice_et`.
        baselines: the champion on the same cases, and the best champion so far if that is another
            version; empty if there is no champion.
        rules: margins, confidence and limits.
        measured: the candidate's value for each name of `PromotionLimits`.
        remarks: what could not be compared, and why.

    Raises:
        GateError: the tables hold different cases.
    """
    limits = check_limits(rules.limits, measured)
    comparisons = tuple(_compare_with(baseline, candidate, rules) for baseline in baselines)
    failures = [str(limit) for limit in limits if not limit.passed]
    failures += [failure for each in comparisons for failure in each.failures]
    passed = [f"no worse on {len(candidate)} test cases: {'; '.join(each.mean for each in comparisons)}"]
    reasons = failures or (passed if comparisons else ["the first champion"])
    reason = "; ".join([*reasons, *remarks])
    return GateDecision(not failures, reason, limits, comparisons, measured, tuple(remarks))


def _compare_with(baseline: Baseline, candidate: pd.DataFrame, rules: Register) -> BaselineComparison:
    cases = pair_cases(candidate, baseline.table)
    return BaselineComparison(baseline, compare_regions(cases, rules=rules), cases)


def check_limits(limits: PromotionLimits, measured: Mapping[str, float]) -> tuple[LimitCheck, ...]:
    """One check for each limit that is set; a value that is missing or NaN fails."""
    active = {name: limit for name, limit in limits.model_dump().items() if limit is not None}
    return tuple(
        LimitCheck(name, measured.get(name), limit, passed=measured.get(name, np.inf) <= limit)
        for name, limit in active.items()
    )


def pair_cases(candidate: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """The Dice of two models side by side, a row per case and entry of `COMPARED`.

    Returns:
        Columns `case`, `region`, `candidate`, `baseline`, `difference` (candidate minus baseline).

    Raises:
        GateError: the tables hold different cases.
    """
    ours, theirs = _dice(candidate, "candidate"), _dice(baseline, "baseline")
    if unmatched := sorted(set(ours["case"]) ^ set(theirs["case"])):
        raise GateError(f"gate: expected the same test cases in both tables, got {unmatched[:5]} in one only")
    both = ours.merge(theirs, on=["case", "region"], validate="one_to_one")
    return both.assign(difference=both["candidate"] - both["baseline"])


def _dice(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """A model's Dice, a row per case and entry of `COMPARED`, in a column that is named after the model."""
    names = {column("dice", region): region for region in REGIONS}
    dice = table.set_index("case").rename(columns=names)[list(REGIONS)].sort_index()
    dice = dice.assign(**{MEAN: dice.mean(axis=1)}).reset_index()
    return dice.melt(id_vars="case", var_name="region", value_name=model)


def compare_regions(cases: pd.DataFrame, *, rules: Register) -> tuple[RegionComparison, ...]:
    """Bound the mean difference of each region by a bootstrap over whole cases.

    Args:
        cases: from `pair_cases`.
        rules: margins, confidence, and the bootstrap's sample count and seed.
    """
    by_region = [cases[cases["region"] == region] for region in COMPARED]
    values = np.stack([rows["difference"].to_numpy(np.float64) for rows in by_region], axis=1)
    means = bootstrap_means(values, samples=rules.samples, seed=rules.seed)
    tail = tail_probability(rules.confidence, len(values))
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return tuple(
        _compare_region(region, rows, low=float(low[index]), high=float(high[index]), rules=rules)
        for index, (region, rows) in enumerate(zip(COMPARED, by_region, strict=True))
    )


def _compare_region(
    region: str, rows: pd.DataFrame, *, low: float, high: float, rules: Register
) -> RegionComparison:
    margin: float = getattr(rules.margin, region.lower())
    candidate, baseline, difference = rows[["candidate", "baseline", "difference"]].mean()
    passed = low >= -margin - ROUNDING
    return RegionComparison(region, candidate, baseline, difference, low, high, margin, passed)


def tail_probability(confidence: float, cases: int) -> float:
    """The share of bootstrap means below the lower bound: smaller than 1 − confidence if cases are few.

    The plain percentile interval is too narrow for few cases: its variance divides by n instead of
    n − 1, and its tails are normal instead of Student's t. The expanded percentile interval corrects both
    (Hesterberg, What Teachers Should Know about the Bootstrap, The American Statistician 2015). With two or
    three cases the share is so small that the bound is the difference of the worst case.

    >>> [round(tail_probability(0.95, cases), 4) for cases in (1, 11, 250)]
    [0.0, 0.0287, 0.049]
    """
    if cases == 1:
        return 0.0
    return float(ndtr(sqrt(cases / (cases - 1)) * stdtrit(cases - 1, 1 - confidence)))
