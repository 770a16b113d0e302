"""The learning curve: Dice against the number of training cases, and a forecast for more of them.

The error 1 − Dice is taken to fall as a power law of the number of cases, as Hestness et al. 2017 (Deep
learning scaling is predictable, empirically, arXiv:1712.00409) found for many tasks. The law here is
e(n) = e₀ (1 + n)^−b, so that it has a value for n = 0, the model from which training started.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import NDArray

from glioseg.evaluation.summary import bootstrap_means

MIN_ERROR = 1e-3
"""Smallest error that is fitted: the logarithm of 0 is not defined."""
PERCENTILES = (5.0, 95.0)
"""Ends of the interval of a forecast."""


@dataclass(frozen=True)
class PowerLaw:
    """The law e(n) = `start` · (1 + n)^−`exponent` of the mean error 1 − Dice."""

    start: float
    exponent: float

    def dice(self, cases: int) -> float:
        """The Dice after training on so many cases.

        >>> round(PowerLaw(0.4, 0.5).dice(3), 3)
        0.8
        """
        return float(1 - self.start * (1 + cases) ** -self.exponent)


@dataclass(frozen=True)
class Forecast:
    """The change of the mean Dice with `more` cases; 90 % of bootstrap samples are from `low` to `high`."""

    more: int
    change: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.more} more cases: Dice {self.change:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def fit_power_law(cases: Sequence[int], dice: Float[NDArray, "sizes"]) -> PowerLaw:
    """Fit the law by least squares of the logarithm of the error.

    Args:
        cases: numbers of training cases, at least two different ones.
        dice: the mean Dice after training on each number of cases.

    >>> law = fit_power_law([0, 3, 15], np.array([0.6, 0.8, 0.9]))
    >>> round(law.start, 6), round(law.exponent, 6)
    (0.4, 0.5)
    """
    slope, intercept = np.polyfit(np.log1p(cases), np.log(np.maximum(1 - dice, MIN_ERROR)), 1)
    return PowerLaw(float(np.exp(intercept)), float(-slope))


def forecast(
    cases: Sequence[int],
    dice: Float[NDArray, "tests sizes"],
    *,
    more: Sequence[int],
    samples: int,
    seed: int,
) -> list[Forecast]:
    """The change of the mean Dice that the fitted law expects from more training cases.

    The interval comes from bootstrap samples of the test cases, to each of which the law is fitted. It does
    not contain the chance of which cases are trained on.

    Args:
        cases: the numbers of training cases, in ascending order; more cases are added to the last.
        dice: Dice of each test case after training on each number of cases.
        more: the numbers of additional cases.
        samples: number of bootstrap samples.
        seed: seed of the bootstrap.
    """

    def change(curve: Float[NDArray, "sizes"], count: int) -> float:
        law = fit_power_law(cases, curve)
        return law.dice(cases[-1] + count) - law.dice(cases[-1])

    means = bootstrap_means(dice, samples=samples, seed=seed)
    found = []
    for count in more:
        low, high = np.percentile([change(curve, count) for curve in means], PERCENTILES)
        found.append(Forecast(count, change(dice.mean(axis=0), count), float(low), float(high)))
    return found


def draw_learning_curve(
    cases: Sequence[int], dice: Float[NDArray, "tests sizes"], path: Path, *, most: int
) -> None:
    """Draw the mean Dice at each number of training cases, and the fitted law.

    Args:
        cases: as for `forecast`.
        dice: as for `forecast`.
        path: the PNG file to write.
        most: largest number of cases on the axis.
    """
    law, mean = fit_power_law(cases, dice.mean(axis=0)), dice.mean(axis=0)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(cases, mean, "o", label=f"mean of {len(dice)} cases, each left out of training")
    counts = range(most + 1)
    axes.plot(counts, [law.dice(count) for count in counts], "--", label="fitted power law")
    axes.set(xlabel="training cases", ylabel="mean Dice of WT, TC, ET")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
