from collections import Counter
from itertools import product

import numpy as np
import pytest

from glioseg.models.training.augmentation.modality_dropout import draw_kept


def test_each_proper_subset_is_as_likely_as_the_other() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(draw_kept(rng, chance=1.0) for _ in range(14_000))
    assert set(counts) == {kept for kept in product([False, True], repeat=4) if any(kept) and not all(kept)}
    # 1,000 each, with a standard deviation of √(1,000 · 13/14) = 30.5.
    assert all(abs(count - 1000) < 4 * 30.5 for count in counts.values())


def test_the_chance_is_as_asked() -> None:
    rng = np.random.default_rng(0)
    dropped = [not all(draw_kept(rng, chance=0.3)) for _ in range(2000)]
    # Three standard deviations: 3 √(0.3 · 0.7 / 2000) = 0.031.
    assert np.mean(dropped) == pytest.approx(0.3, abs=0.031)
    assert all(all(draw_kept(rng, chance=0.0)) for _ in range(50))
