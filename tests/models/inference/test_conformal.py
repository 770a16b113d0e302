"""Level and rank by hand, and by simulation that the level holds."""

import numpy as np
import pytest
from scipy import stats

from glioseg.models.inference.conformal import conformal_quantile, supported_level


@pytest.mark.parametrize(
    ("cases", "level", "rank"),
    [
        (4, 4 / 5, 4),
        (7, 7 / 8, 7),  # not nine of ten: the largest of 7 is exceeded by every eighth new case
        (8, 8 / 9, 8),
        (9, 0.9, 9),
        (10, 0.9, 10),  # ⌈0.9 · 11⌉
        (19, 0.9, 18),  # 18 / 20
        (20, 0.9, 19),  # ⌈18.9⌉
        (29, 0.9, 27),  # 27 / 30: 0.9 · 30 must not be rounded up to 28
        (99, 0.9, 90),
    ],
)
def test_level_and_rank_by_hand(cases, level, rank):
    assert supported_level(cases) == pytest.approx(level, abs=1e-15)
    scores = np.random.default_rng(0).permutation(np.arange(1, cases + 1)).tolist()
    assert conformal_quantile(scores) == rank


@pytest.mark.parametrize("cases", [0, 1, 2, 3])
def test_fewer_than_four_cases_support_no_interval(cases):
    assert supported_level(cases) is None


@pytest.mark.parametrize("cases", [4, 7, 9, 19, 32])
def test_new_cases_are_held_as_often_as_the_level_says(cases):
    """Exchangeable scores that are not independent: each trial has a scale of its own."""
    trials = 20000
    rng = np.random.default_rng(cases)
    scores = rng.standard_exponential((trials, cases + 1)) * rng.uniform(0.5, 2, (trials, 1))
    limits = np.array([conformal_quantile(row) for row in scores[:, 1:].tolist()])
    held = int((scores[:, 0] <= limits).sum())
    level = supported_level(cases)
    rank = int(np.searchsorted(np.sort(scores[0, 1:]), limits[0])) + 1
    low, high = stats.binom.ppf([0.0005, 0.9995], trials, rank / (cases + 1))
    assert low <= held <= high  # of continuous scores the probability is rank / (n + 1) exactly
    assert rank / (cases + 1) >= level - 1e-12
