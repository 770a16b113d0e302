"""The same commands with one worker and with two: what the pairs of runs say."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.fit import fit, largest_error
from bench.results import Goal, Row

GOAL = 0.6
WORKERS = (1, 2)


class Run(NamedTuple):
    """What a command took: its seconds, and those of a processor that it used itself, without its workers."""

    seconds: float
    command_s: float


Pair = tuple[Run, ...]
"""The same command with one worker and with two."""
Pairs = Mapping[int, Sequence[Pair]]
"""By the number of cases."""


def rows_of(name: str, taken: Pairs) -> list[Row]:
    """A row for each number of cases, of the medians."""
    return [
        {
            "what": name,
            "cases": count,
            "1 worker s": median(one.seconds for one, _ in pairs),
            "2 workers s": median(two.seconds for _, two in pairs),
            "ratio": _ratio(pairs),
            "command s": _command_s(pairs),
            "runs": len(pairs),
        }
        for count, pairs in taken.items()
    ]


def _ratio(pairs: Sequence[Pair]) -> float:
    return median(two.seconds / one.seconds for one, two in pairs)


def _command_s(pairs: Sequence[Pair]) -> float:
    return median(run.command_s for pair in pairs for run in pair)


def fitted(name: str, taken: Pairs) -> Row:
    """What a case costs, by the formula of `bench.fit`, and of the command itself by few cases and many."""
    seconds = {
        (count, workers): median(run.seconds for run in side)
        for count, pairs in taken.items()
        for workers, side in zip(WORKERS, zip(*pairs, strict=True), strict=True)
    }
    costs, few, many = fit(seconds), min(taken), max(taken)
    return {
        "what": f"{name}: fit",
        "serial s": costs.serial_s,
        "case s": costs.case_s,
        "overhead s": costs.overhead_s,
        "case s beside another": costs.neighbour_s(max(WORKERS)),
        "command s a case": (_command_s(taken[many]) - _command_s(taken[few])) / (many - few),
        "fit off by %": 100 * largest_error(costs, seconds),
    }


def goals_of(taken: Mapping[str, Pairs]) -> list[Goal]:
    """Two workers are to be faster with the largest number of cases."""
    goals = []
    for name, pairs in taken.items():
        count = max(pairs)
        ratio = _ratio(pairs[count])
        goals.append(
            Goal(f"{name}, {count} cases: two workers ≤ {GOAL:g}× one", f"{ratio:.2f}×", ratio <= GOAL)
        )
    return goals
