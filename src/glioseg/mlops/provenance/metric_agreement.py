"""Compares the numbers of a repeated evaluation with the recorded ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from glioseg.core.files import read_json
from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column

CASE_TOLERANCE = 0.01
"""Accepted difference in the Dice of a case on another machine. Another processor rounds differently, so that
some voxels with a probability close to the threshold change their label; they lie on the tumour's surface."""

MEAN_TOLERANCE = 0.05
"""Accepted difference in mean Dice after a new training on another machine. Rounding differences grow with
each training step until the weights differ, so that only means over the cohort are comparable."""


@dataclass(frozen=True)
class EvaluationNumbers:
    """The numbers of an evaluation: `table` has a row per case, `metrics` is the content of metrics.json."""

    table: pd.DataFrame
    metrics: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "EvaluationNumbers":
        """Read a folder with per_case.csv and metrics.json."""
        table = pd.read_csv(folder / "per_case.csv", dtype={"case": str}, float_precision="round_trip")
        metrics = read_json(folder / "metrics.json")
        return cls(table.set_index("case").sort_index(), metrics)


@dataclass(frozen=True)
class Agreement:
    """The result of a comparison: `agrees`, and `message`, which is one line."""

    agrees: bool
    message: str


def compare(
    then: EvaluationNumbers, now: EvaluationNumbers, *, reasons: Sequence[str], retrained: bool
) -> Agreement:
    """Compare two evaluations.

    Args:
        then: the recorded numbers.
        now: the numbers of the repeated evaluation.
        reasons: why the last digits may differ; if empty, all numbers must be equal.
        retrained: whether the network was trained again.
    """
    found = difference(then, now)
    if not found:
        return Agreement(True, "the metrics agree exactly")
    if not reasons or _unmatched(then, now):
        return Agreement(False, f"the metrics differ: {found}")
    unit, tolerance = ("mean Dice", MEAN_TOLERANCE) if retrained else ("Dice per case", CASE_TOLERANCE)
    largest = max((_mean_gap if retrained else _case_gap)(then, now, region) for region in REGIONS)
    if largest <= tolerance:
        return Agreement(
            True,
            f"the metrics agree within {tolerance:g} in {unit} (the largest difference is {largest:.2g})",
        )
    return Agreement(
        False, f"the metrics differ by {largest:.2g} in {unit}, more than {tolerance:g}: {found}"
    )


def difference(then: EvaluationNumbers, now: EvaluationNumbers) -> str:
    """The first difference in one phrase; empty if all numbers are equal."""
    if unmatched := _unmatched(then, now):
        return f"only one table has {', '.join(unmatched)}"
    for name in then.table:
        for case, old, new in zip(then.table.index, then.table[name], now.table[name], strict=True):
            if old != new and not (pd.isna(old) and pd.isna(new)):
                return f"{name} of {case}: {old} then, {new} now"
    if then.metrics != now.metrics:
        return f"metrics.json: {_first_difference(then.metrics, now.metrics)}"
    return ""


def _unmatched(then: EvaluationNumbers, now: EvaluationNumbers) -> list[str]:
    """Cases and columns that only one of the two tables has."""
    cases = set(then.table.index) ^ set(now.table.index)
    return sorted(map(str, cases | (set(then.table) ^ set(now.table))))


def _first_difference(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> str:
    """The first entry in which two nested mappings differ."""
    for key in dict.fromkeys([*then, *now]):
        old, new = then.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _first_difference(old, new, f"{path}{key}/")
        return f"{path}{key}: {old} then, {new} now"
    return ""


def _case_gap(then: EvaluationNumbers, now: EvaluationNumbers, region: str) -> float:
    name = column("dice", region)
    return float((then.table[name] - now.table[name]).abs().max())


def _mean_gap(then: EvaluationNumbers, now: EvaluationNumbers, region: str) -> float:
    name = column("dice", region)
    return float(abs(then.table[name].mean() - now.table[name].mean()))


def difference_table(then: EvaluationNumbers, now: EvaluationNumbers) -> str:
    """A line per region: the mean Dice then and now, and the largest difference of a case."""
    lines = [f"{'Dice':6}{'then':>10}{'now':>10}{'largest of a case':>22}"]
    for region in REGIONS:
        name = column("dice", region)
        means = f"{then.table[name].mean():10.4f}{now.table[name].mean():10.4f}"
        gap = "-" if _unmatched(then, now) else f"{_case_gap(then, now, region):.2g}"
        lines.append(f"{region:6}{means}{gap:>22}")
    return "\n".join(lines)
