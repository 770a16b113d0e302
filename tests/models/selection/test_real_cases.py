"""Confidence of a model that is calibrated on real cases; here on small arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from glioseg.models.inference.out_of_distribution import FEATURE_NAMES, OutOfDistribution
from glioseg.models.inference.quality_estimation import ExpectedDice
from glioseg.models.selection.corruption_study import ScoredScan
from glioseg.models.selection.corruptions import KINDS
from glioseg.models.selection.real_cases import calibrate_confidence, leave_one_out, score_real_cases
from glioseg.models.selection.unseen_case import unseen_cases
from tests.helpers.models import IDENTITY_ESTIMATOR, Formula, make_settings

KNOWN = OutOfDistribution((0.0,) * len(FEATURE_NAMES), (1.0,) * len(FEATURE_NAMES), 5.0, ())
BEFORE = make_settings(confidence=replace(IDENTITY_ESTIMATOR, out_of_distribution=KNOWN))


@dataclass(frozen=True)
class Case:
    """The third of ten planes is tumour, and bright; `name` seeds its corruptions."""

    name: str

    def open(self, spacing_mm):
        label = np.zeros((10, 10, 10), np.uint8)
        label[3:7] = 3
        image = np.random.default_rng(0).normal(-0.5, 0.1, (10, 10, 10, 4))
        image[3:7] += 1.5
        return image.astype(np.float16), label


BRIGHT = Formula(lambda batch: np.where(batch[..., :3] > 0, 0.95, 0.05))


def scored(cases=6, copies=20):
    """A network that is right where it says 0.8 and wrong where it says 0.6, and finds half the tumour."""
    scans = []
    for case in range(cases):
        for copy in range(copies):
            good = (case + copy) % 2 == 0
            expected = ExpectedDice(np.full(3, 0.8 if good else 0.6), np.zeros(3, bool))
            errors = np.full(3, 2.0 + (copy % 5 - 2) / 10)
            scans.append(
                ScoredScan(
                    case, "noisy" if copy else None, expected, np.full(3, 0.9 if good else 0.2), errors
                )
            )
    return scans


def test_every_case_is_scored_as_it_is_and_with_every_corruption_by_its_name():
    three = score_real_cases(unseen_cases([Case("a"), Case("b"), Case("c")], [BRIGHT]), make_settings())
    assert [scan.case for scan in three] == [number for number in range(3) for _ in range(1 + len(KINDS))]
    assert [scan.corruption for scan in three[: 1 + len(KINDS)]] == [None, *KINDS]
    assert three[0].dice.tolist() == [1, 1, 1]
    assert three[0].volume_errors.tolist() == [0, 0, 0]
    again = score_real_cases(unseen_cases([Case("c")], [BRIGHT]), make_settings())
    for ours, theirs in zip(again, three[-len(again) :], strict=True):
        np.testing.assert_array_equal(ours.dice, theirs.dice)
    without_t1ce = next(scan for scan in three if scan.corruption == "no t1ce")
    assert np.isnan(without_t1ce.dice).tolist() == np.isnan(without_t1ce.volume_errors).tolist() == [0, 1, 1]


def test_only_confidence_and_intervals_change():
    after = calibrate_confidence(scored(), BEFORE)
    assert after.calibrated_on == "real"
    assert replace(after, confidence=BEFORE.confidence, volume_intervals=None, calibrated_on=None) == BEFORE
    assert after.confidence.out_of_distribution == KNOWN
    # Errors are 1.8 to 2.2 times the uncertainty: the middle lies above the predicted volume.
    assert after.volume_intervals.shift == (2.0, 2.0, 2.0)
    assert after.volume_intervals.half_width == pytest.approx((0.2, 0.2, 0.2))
    assert (after.volume_intervals.level, after.volume_intervals.cases) == (6 / 7, 6)


def test_left_out_cases_measure_the_confidence():
    scores = leave_one_out(scored(), BEFORE)
    for region in ("WT", "TC", "ET"):
        assert scores[region]["r"] == pytest.approx(1.0)
        assert scores[region]["flagged"] == [60, 60]
        assert scores[region]["false_alarms"] == [0, 60]
        assert scores[region]["coverage"] == 1.0
        # Before, 0.6 was not below the threshold of 0.6.
        assert scores[region]["before"]["flagged"] == [0, 60]


def test_too_few_cases_to_leave_one_out_are_an_error():
    with pytest.raises(ValueError, match="expected scans of more than 4 cases"):
        leave_one_out(scored(cases=4), BEFORE)
