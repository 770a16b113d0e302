"""What a look at a grid finds, and how several looks at it are averaged."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

Image = Float32[NDArray, "d h w 4"]


@dataclass(frozen=True)
class Findings:
    """Of one grid: `regions` (D, H, W, 3), probabilities of WT, TC and ET; `outcomes` by name.

    Outcomes are those that the network has: "grade", the probability of LGG, and "survival", years.
    """

    regions: Float32[NDArray, "d h w 3"]
    outcomes: dict[str, float]


Look = Callable[[Image], Findings]


def average(findings: Iterable[Findings]) -> Findings:
    """The mean of looks at one grid, of which one at a time is in memory.

    >>> one, other = (Findings(np.full((1, 1, 1, 3), p, np.float32), {}) for p in (0.25, 0.75))
    >>> average(iter([one, other])).regions.ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    total, outcomes = None, []
    for found in findings:
        total = found.regions.copy() if total is None else np.add(total, found.regions, out=total)
        outcomes.append(found.outcomes)
    if total is None:
        raise ValueError("findings: expected at least one look, got none")
    total /= np.float32(len(outcomes))
    return Findings(total, mean_outcomes(outcomes))


def mean_outcomes(outcomes: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each outcome, over the looks that have it.

    >>> mean_outcomes([{"grade": 0.5, "survival": 1.0}, {"grade": 1.0}])
    {'grade': 0.75, 'survival': 1.0}
    """
    names = dict.fromkeys(name for found in outcomes for name in found)
    return {name: float(np.mean([found[name] for found in outcomes if name in found])) for name in names}
