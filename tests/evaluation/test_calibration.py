import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.evaluation.calibration import calibration_error
from glioseg.models.inference import calibration as by_counts


def test_probabilities_that_come_true_have_no_error():
    said = np.repeat(np.array([0.25, 0.75], np.float32), 4)
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert calibration_error(said, truth) == 0


@pytest.mark.parametrize(("said", "truth", "error"), [(1.0, False, 1), (0.0, True, 1), (1.0, True, 0)])
def test_the_ends_belong_to_bins(said, truth, error):
    assert calibration_error(np.full(5, said, np.float32), np.full(5, truth)) == error


@given(st.integers(0, 2**32 - 1))
def test_it_is_what_validation_counts(seed):
    """Up to what the bins of logits, 0.01 wide, round."""
    rng = np.random.default_rng(seed)
    said = rng.beta(0.3, 0.6, 500).astype(np.float32)
    truth = rng.random(500) < said**1.5
    counts = by_counts.count_logits(np.stack([said] * 3, axis=1), np.stack([truth] * 3, axis=1))
    assert calibration_error(said, truth) == pytest.approx(
        by_counts.calibration_error(counts[0], 1.0), abs=0.02
    )
