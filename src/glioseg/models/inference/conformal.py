"""Split-conformal prediction: an interval for a new case, and the level that few calibration cases support.

Vovk V, Gammerman A, Shafer G: Algorithmic Learning in a Random World. Springer 2005.
Lei J, G'Sell M, Rinaldo A, Tibshirani RJ, Wasserman L: Distribution-Free Predictive Inference for
Regression. Journal of the American Statistical Association 2018.

If the scores of n calibration cases and of a new case are exchangeable, the new one is equally likely to
take any of n + 1 ranks, so it is at most the k-th smallest of the n with probability k / (n + 1) or more.
"""

from collections.abc import Sequence

TARGET_PERCENT = 90
"""The level of an interval, where there are cases enough: nine or more."""
LEAST_LEVEL = 0.8
"""Below it an interval is left out: more than every fifth new case would lie outside."""


def supported_level(cases: int) -> float | None:
    """The level that an interval from so many calibration cases has, or None where it is too low.

    Args:
        cases: number of calibration cases.

    >>> [supported_level(cases) for cases in (3, 4, 7, 9, 250)]
    [None, 0.8, 0.875, 0.9, 0.9]
    """
    level = min(TARGET_PERCENT / 100, cases / (cases + 1))
    return level if level >= LEAST_LEVEL else None


def conformal_quantile(scores: Sequence[float]) -> float:
    """The score that a new case exceeds with probability 1 − `supported_level` at most.

    It is the ⌈0.9 · (n + 1)⌉-th smallest of the n scores, and the largest of fewer than nine.

    Args:
        scores: one of each calibration case, at least one.

    >>> conformal_quantile(range(1, 20))  # ⌈0.9 · 20⌉ = 18
    18
    """
    rank = -(-TARGET_PERCENT * (len(scores) + 1) // 100)  # integers: 0.9 is not exact in binary
    return sorted(scores)[min(rank, len(scores)) - 1]
