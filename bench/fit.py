"""What a run over many cases costs: T(cases, workers) = serial + cases × (case / workers + overhead)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Costs:
    """The three costs of the formula.

    `serial_s`: what a run takes however few its cases and however many its workers: start, imports, tables.
    `case_s`: what workers share among them. `overhead_s`: what a case costs that more workers do not make
    less; where workers share a machine, what they take from each other is in it.
    """

    serial_s: float
    case_s: float
    overhead_s: float

    def seconds(self, cases: int, workers: int) -> float:
        """What the formula says."""
        return self.serial_s + cases * (self.case_s / workers + self.overhead_s)

    def neighbour_s(self, workers: int) -> float:
        """What a case takes of one worker while all of a machine's workers are at work.

        >>> Costs(serial_s=5, case_s=1.0, overhead_s=0.1).neighbour_s(2)
        1.2
        """
        return self.case_s + workers * self.overhead_s


def fit(taken: Mapping[tuple[int, int], float]) -> Costs:
    """Fit the formula by least squares of the relative errors; no cost is below zero.

    Args:
        taken: measured seconds by numbers of cases and of workers; at least two of each.
    """
    seconds = np.array(list(taken.values()))
    terms = np.array([[1, cases / workers, cases] for cases, workers in taken])
    (serial_s, case_s, overhead_s), _ = nnls(terms / seconds[:, None], np.ones(len(seconds)))
    return Costs(float(serial_s), float(case_s), float(overhead_s))


def largest_error(costs: Costs, taken: Mapping[tuple[int, int], float]) -> float:
    """By how much the formula is off where it is off most, as a part of what was measured."""
    return max(abs(costs.seconds(*where) / seconds - 1) for where, seconds in taken.items())
