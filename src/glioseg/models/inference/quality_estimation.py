"""How far an answer can be trusted: the Dice to be expected of each region, and what speaks against it.

Where a network fails it still believes too much of its answer; how much, the answers to spoilt scans have
shown (`spoiling`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.out_of_distribution import Likeness, Portrait

LOW = 0.6
"""Expected Dice below which confidence is low."""
CLIP = 0.01
"""How far beliefs are kept from 0 and 1, so that their odds are finite."""
RIDGE = 0.5
"""How strongly few answers are held to what is assumed before any: that beliefs come true."""

Line = tuple[float, float]
Lines = tuple[Line, Line, Line]


@dataclass(frozen=True)
class Belief:
    """What a network's probabilities promise one answer, of WT, TC and ET each.

    `dice`: expected overlap; of an empty answer that of the region around it; `empty`: what was not found.
    """

    dice: Float64[NDArray, "3"]
    empty: Bool[NDArray, "3"]


def believe(labels: UInt8[NDArray, "voxels"], regions: Float32[NDArray, "voxels 3"]) -> Belief:
    """What probabilities promise an answer.

    Args:
        labels: the final dense labels of the brain's voxels.
        regions: the same voxels' calibrated probabilities.

    >>> likely = np.array([[0.9, 0.6, 0.1], [0.6, 0.2, 0.0]], np.float32)
    >>> believe(np.array([1, 2], np.uint8), likely).dice.round(3).tolist()  # 3 / 3.5, 1.2 / 1.8, as TC
    [0.857, 0.667, 0.667]
    """
    answer = regions_from_labels(labels)
    both = np.where(answer, regions, np.float32(0)).sum(axis=0, dtype=np.float64)
    each = regions.sum(axis=0, dtype=np.float64) + answer.sum(axis=0)
    dice = 2 * both / np.maximum(each, 1e-9)
    empty: NDArray[np.bool_] = answer.sum(axis=0) == 0
    around = 0.5  # around the whole tumour there is nothing to go by
    for region in range(len(REGIONS)):
        around = dice[region] = around if empty[region] else dice[region]
    return Belief(dice, empty)


@dataclass(frozen=True)
class Confidence:
    """What answers to validation cases, sound and spoilt, have shown.

    `found`, `empty`: of WT, TC and ET, each (a, b): the Dice to be expected is σ(a + b · logit(belief)), of
    an answer that found the region and of one that did not; `likeness`: tells scans unlike the training, None
    where training cases were too few.
    """

    found: Lines
    empty: Lines
    likeness: Likeness | None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Confidence":
        """From what `asdict` makes of one, with lists for tuples as JSON has them."""
        likeness = record["likeness"]
        return cls(
            _lines(record["found"]),
            _lines(record["empty"]),
            Likeness(**{name: _frozen(value) for name, value in likeness.items()}) if likeness else None,
        )

    def expected_dice(self, belief: Belief) -> dict[str, float]:
        """The Dice that is to be expected of each region; of an empty answer, the chance that it is right."""
        lines = np.where(belief.empty[:, np.newaxis], self.empty, self.found)
        expected = expit(lines[:, 0] + lines[:, 1] * _odds(belief.dice))
        return dict(zip(REGIONS, expected.tolist(), strict=True))

    def doubts(self, expected: Mapping[str, float], portrait: Portrait) -> tuple[str, ...]:
        """Why confidence is low, in words; nothing where it is not.

        Args:
            expected: as from `expected_dice`.
            portrait: of the scan.
        """
        bad = [f"{name}: expected Dice {dice:.2f}" for name, dice in expected.items() if dice < LOW]
        odd = self.likeness.oddities(portrait) if self.likeness else []
        return (*bad, *([f"unlike its training: {', '.join(odd)}"] if odd else []))


def fit_lines(
    beliefs: Float64[NDArray, "cases 3"],
    empty: Bool[NDArray, "cases 3"],
    dice: Float64[NDArray, "cases 3"],
    weights: Float64[NDArray, "cases"],
) -> tuple[Lines, Lines]:
    """Learn what beliefs tell of the true Dice: `found` and `empty` of a `Confidence`.

    A fractional logistic regression for each region (Papke & Wooldridge 1996), in which more belief never
    means less Dice.

    Args:
        beliefs: `Belief.dice` of each answer.
        empty: `Belief.empty` of each answer.
        dice: the true one.
        weights: as how many answers each one counts.
    """
    (wt, e_wt), (tc, e_tc), (et, e_et) = (
        [_fit(_odds(beliefs[rows, r]), dice[rows, r], weights[rows]) for rows in (~empty[:, r], empty[:, r])]
        for r in range(len(REGIONS))
    )
    return (wt, tc, et), (e_wt, e_tc, e_et)


def _fit(
    odds: Float64[NDArray, "cases"], dice: Float64[NDArray, "cases"], weights: Float64[NDArray, "cases"]
) -> Line:
    before = np.array([0.0, 1.0])

    def loss(line: Float64[NDArray, "2"]) -> float:
        eta = line[0] + line[1] * odds
        misfit = np.logaddexp(0, eta) - dice * eta
        return float(weights @ misfit + RIDGE * np.square(line - before).sum())

    a, b = minimize(loss, before, method="L-BFGS-B", bounds=[(None, None), (0, None)]).x
    return (float(f"{a:.4g}"), float(f"{b:.4g}"))


def _odds(belief: Float64[NDArray, "*n"]) -> Float64[NDArray, "*n"]:
    """The logarithm of its odds."""
    odds: NDArray[np.float64] = logit(np.clip(belief, CLIP, 1 - CLIP))
    return odds


def _lines(record: Any) -> Lines:
    wt, tc, et = ((float(a), float(b)) for a, b in record)
    return (wt, tc, et)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
