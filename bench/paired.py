"""Paired timing: A, B, A, B, …, and what the pairs say."""

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles

REST_S = 0.5
"""Idle threads of OpenMP spin for a fifth of a second after their work; nobody should pay for them."""

Timed = Callable[[], float]


def take_turns(sides: Sequence[Timed], *, rounds: int) -> list[tuple[float, ...]]:
    """Call each in turn, round after round; each returns its own seconds. A first round does not count."""
    taken = []
    for _ in range(rounds + 1):
        seconds = []
        for timed in sides:
            time.sleep(REST_S)
            seconds.append(timed())
        taken.append(tuple(seconds))
    return taken[1:]


def ratios(pairs: Sequence[tuple[float, ...]]) -> dict[str, float]:
    """Median and quartiles of second / first over the pairs: above 1, the first is the faster.

    >>> ratios([(1, 2), (1, 3), (2, 8)])
    {'ratio': 3.0, 'ratio q1': 2.5, 'ratio q3': 3.5}
    """
    values = [second / first for first, second in pairs]
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"ratio": median(values), "ratio q1": low, "ratio q3": high}
