"""Whether an evaluation that was done again gave the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from glioseg.core.files import read_json
from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column

CASE_TOLERANCE = 0.01
"""Dice that a case may differ by on another machine. Another processor rounds differently, which turns
voxels whose probability is all but ½: a thin part of the tumour's surface."""

MEAN_TOLERANCE = 0.05
"""Mean Dice that may differ where another machine trained again: each step builds on the rounding of
those before, so that the weights part, and only the cohort's means stay comparable."""


@dataclass(frozen=True)
class Numbers:
    """What an evaluation gave: `table` has a row a case, `metrics` is what metrics.json holds."""

    table: pd.DataFrame
    metrics: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Numbers":
        """From a folder that holds per_case.csv and metrics.json."""
        table = pd.read_csv(folder / "per_case.csv", dtype={"case": str}, float_precision="round_trip")
        metrics = read_json(folder / "metrics.json")
        return cls(table.set_index("case").sort_index(), metrics)


@dataclass(frozen=True)
class Agreement:
    """What a comparison found: `line` says it, and `agrees` whether it is as it should be."""

    agrees: bool
    line: str


def compare(then: Numbers, now: Numbers, *, reasons: Sequence[str], retrained: bool) -> Agreement:
    """Compare two evaluations.

    Args:
        then: what was kept.
        now: what came out this time.
        reasons: why the numbers need not be the same to the last digit; none: they must be.
        retrained: whether the network was trained again.
    """
    found = difference(then, now)
    if not found:
        return Agreement(True, "the metrics agree exactly")
    if not reasons or _strangers(then, now):
        return Agreement(False, f"the metrics differ: {found}")
    what, allowed = ("mean", MEAN_TOLERANCE) if retrained else ("case", CASE_TOLERANCE)
    largest = max((_mean_gap if retrained else _case_gap)(then, now, region) for region in REGIONS)
    if largest <= allowed:
        return Agreement(
            True,
            f"the metrics agree within {allowed:g} Dice a {what} (the largest difference is {largest:.2g})",
        )
    return Agreement(
        False, f"the metrics differ by {largest:.2g} Dice a {what}, more than {allowed:g}: {found}"
    )


def difference(then: Numbers, now: Numbers) -> str:
    """The first number that is not the same, in words; nothing where all are."""
    if strangers := _strangers(then, now):
        return f"one table alone has {', '.join(strangers)}"
    for name in then.table:
        for case, old, new in zip(then.table.index, then.table[name], now.table[name], strict=True):
            if old != new and not (pd.isna(old) and pd.isna(new)):
                return f"{name} of {case}: {old} then, {new} now"
    if then.metrics != now.metrics:
        return f"metrics.json: {_first(then.metrics, now.metrics)}"
    return ""


def _strangers(then: Numbers, now: Numbers) -> list[str]:
    """Cases and columns that only one of the tables has."""
    cases = set(then.table.index) ^ set(now.table.index)
    return sorted(map(str, cases | (set(then.table) ^ set(now.table))))


def _first(then: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> str:
    """The first entry in which two trees differ."""
    for key in dict.fromkeys([*then, *now]):
        old, new = then.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _first(old, new, f"{place}{key}/")
        return f"{place}{key}: {old} then, {new} now"
    return ""


def _case_gap(then: Numbers, now: Numbers, region: str) -> float:
    name = column("dice", region)
    return float((then.table[name] - now.table[name]).abs().max())


def _mean_gap(then: Numbers, now: Numbers, region: str) -> float:
    name = column("dice", region)
    return float(abs(then.table[name].mean() - now.table[name].mean()))


def gap_table(then: Numbers, now: Numbers) -> str:
    """One line a region: the mean Dice then and now, and by how much a case differs at most."""
    lines = [f"{'Dice':6}{'then':>10}{'now':>10}{'at most, of a case':>22}"]
    for region in REGIONS:
        name = column("dice", region)
        means = f"{then.table[name].mean():10.4f}{now.table[name].mean():10.4f}"
        gap = "-" if _strangers(then, now) else f"{_case_gap(then, now, region):.2g}"
        lines.append(f"{region:6}{means}{gap:>22}")
    return "\n".join(lines)
