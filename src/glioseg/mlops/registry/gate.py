"""Whether a new model may be the champion: no worse than it case by case, and within hard limits."""

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
from glioseg.params.promotion import Limits, Register

MEAN = "mean"
COMPARED = (*REGIONS, MEAN)
"""What is compared: the Dice of each region, and the mean of the three."""
ROUNDING = 1e-9
"""A difference of rounding alone must not decide."""


CHAMPION, BEST = "the champion", "the best champion so far"
"""What a version that is compared with is."""


class GateError(GliosegError):
    """Two tables of cases that cannot be compared."""


@dataclass(frozen=True)
class Comparison:
    """One region on the same cases: mean Dice of both, their difference, and the bounds of its mean.

    Each bound holds with the rules' confidence. `passed`: the lower one is within the margin.
    """

    region: str
    candidate: float
    champion: float
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
class Rival:
    """A version that a candidate is compared with.

    `role`: `CHAMPION` or `BEST`; `table`: a row a case, as the candidate's.
    """

    version: str
    role: str
    table: pd.DataFrame

    def __str__(self) -> str:
        return f"{self.role}, version {self.version}"


@dataclass(frozen=True)
class Paired:
    """The comparison with one rival: region by region, and as `cases`, a row a case and region."""

    rival: Rival
    comparisons: tuple[Comparison, ...]
    cases: pd.DataFrame

    @property
    def missed(self) -> list[str]:
        """What does not pass, in words."""
        return [f"{self._where}{found}" for found in self.comparisons if not found.passed]

    @property
    def mean(self) -> str:
        """The comparison of the mean Dice, in words."""
        return f"{self._where}{self.comparisons[-1]}"

    @property
    def _where(self) -> str:
        return "" if self.rival.role == CHAMPION else f"beside {self.rival}: "


@dataclass(frozen=True)
class LimitCheck:
    """A hard limit, and what was measured of the candidate; what was not measured is not kept."""

    name: str
    value: float | None
    limit: float
    kept: bool

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} {value}, limit {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, and all that it is made from.

    `against`: the comparisons, first that with the champion; none where there was no champion; `measured`:
    what the limits were held against; `remarks`: what could not be compared, and why.
    """

    promoted: bool
    reason: str
    limits: tuple[LimitCheck, ...]
    against: tuple[Paired, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def judge(
    candidate: pd.DataFrame,
    rivals: Sequence[Rival],
    *,
    rules: Register,
    measured: Mapping[str, float],
    remarks: Sequence[str] = (),
) -> Verdict:
    """Let a candidate pass if it keeps every limit and is shown to be no worse than each rival.

    Args:
        candidate: a row a case: `case`, `dice_wt`, `dice_tc`, `dice_et`.
        rivals: the champion, on the same cases, and the best champion so far where that is another one; none
            where there is no champion.
        rules: margins, confidence and limits.
        measured: of the candidate: a number to each name of `Limits`.
        remarks: what could not be compared, and why.

    Raises:
        GateError: the tables are of other cases.
    """
    limits = check_limits(rules.limits, measured)
    against = tuple(_pair(candidate, rival, rules) for rival in rivals)
    missed = [str(limit) for limit in limits if not limit.kept]
    missed += [line for each in against for line in each.missed]
    passed = [f"no worse on {len(candidate)} test cases: {'; '.join(each.mean for each in against)}"]
    reasons = missed or (passed if against else ["the first champion"])
    reason = "; ".join([*reasons, *remarks])
    return Verdict(not missed, reason, limits, against, measured, tuple(remarks))


def _pair(candidate: pd.DataFrame, rival: Rival, rules: Register) -> Paired:
    cases = paired(candidate, rival.table)
    return Paired(rival, compare(cases, rules=rules), cases)


def check_limits(limits: Limits, measured: Mapping[str, float]) -> tuple[LimitCheck, ...]:
    """Hold what was measured against each limit that is set."""
    asked = {name: limit for name, limit in limits.model_dump().items() if limit is not None}
    return tuple(
        LimitCheck(name, measured.get(name), limit, kept=measured.get(name, np.inf) <= limit)
        for name, limit in asked.items()
    )


def paired(candidate: pd.DataFrame, champion: pd.DataFrame) -> pd.DataFrame:
    """The Dice of two models side by side: a row a case and one of `COMPARED`.

    Returns:
        Columns `case`, `region`, `candidate`, `champion`, `difference` (candidate minus champion).

    Raises:
        GateError: the tables are of other cases.
    """
    ours, theirs = _dice(candidate, "candidate"), _dice(champion, "champion")
    if strange := sorted(set(ours["case"]) ^ set(theirs["case"])):
        raise GateError(f"gate: expected the same test cases, got {strange[:5]} in one table alone")
    both = ours.merge(theirs, on=["case", "region"], validate="one_to_one")
    return both.assign(difference=both["candidate"] - both["champion"])


def _dice(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The Dice of a model in a column of its name: a row a case and one of `COMPARED`."""
    names = {column("dice", region): region for region in REGIONS}
    dice = table.set_index("case").rename(columns=names)[list(REGIONS)].sort_index()
    dice = dice.assign(**{MEAN: dice.mean(axis=1)}).reset_index()
    return dice.melt(id_vars="case", var_name="region", value_name=model)


def compare(cases: pd.DataFrame, *, rules: Register) -> tuple[Comparison, ...]:
    """Bound the mean difference of each region by the bootstrap over whole cases.

    Args:
        cases: as from `paired`.
        rules: margins, confidence, and the bootstrap's samples and seed.
    """
    of_region = [cases[cases["region"] == region] for region in COMPARED]
    values = np.stack([rows["difference"].to_numpy(np.float64) for rows in of_region], axis=1)
    means = bootstrap_means(values, samples=rules.samples, seed=rules.seed)
    tail = tail_share(rules.confidence, len(values))
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return tuple(
        _comparison(region, rows, low=float(low[index]), high=float(high[index]), rules=rules)
        for index, (region, rows) in enumerate(zip(COMPARED, of_region, strict=True))
    )


def _comparison(region: str, rows: pd.DataFrame, *, low: float, high: float, rules: Register) -> Comparison:
    margin: float = getattr(rules.margin, region.lower())
    candidate, champion, difference = rows[["candidate", "champion", "difference"]].mean()
    passed = low >= -margin - ROUNDING
    return Comparison(region, candidate, champion, difference, low, high, margin, passed)


def tail_share(confidence: float, cases: int) -> float:
    """The share of bootstrap means below a lower bound: less than 1 − confidence where cases are few.

    The plain percentile is to Student's t what n is to n − 1, and the normal to the t distribution: too
    narrow for few cases. This makes up for both (the expanded percentile interval: Hesterberg, What
    Teachers Should Know about the Bootstrap, The American Statistician 2015). For two or three cases
    nothing is left: the bound is the worst of them.

    >>> [round(tail_share(0.95, cases), 4) for cases in (1, 11, 250)]
    [0.0, 0.0287, 0.049]
    """
    if cases == 1:
        return 0.0
    return float(ndtr(sqrt(cases / (cases - 1)) * stdtrit(cases - 1, 1 - confidence)))
