import numpy as np
import pytest
from scipy.special import expit, logit

from glioseg.models.inference.out_of_distribution import FEATURE_NAMES, OutOfDistribution
from glioseg.models.inference.quality_estimation import (
    LOW_DICE,
    ExpectedDice,
    QualityEstimator,
    expected_dice,
    fit_dice_regression,
)

IDENTITY = ((0.0, 1.0),) * 3
USUAL = np.zeros(len(FEATURE_NAMES))


def make_estimator(found=IDENTITY, empty=IDENTITY, out_of_distribution=None):
    return QualityEstimator(found, empty, out_of_distribution)


def test_expected_dice_by_hand():
    regions = np.array([[0.9, 0.8, 0.4], [0.5, 0.2, 0.1], [0.2, 0.0, 0.0]], np.float32)
    expected = expected_dice(np.array([1, 2, 0], np.uint8), regions)
    # WT: two voxels with 0.9 and 0.5 of 1.6; TC: one with 0.8 of 1.0; no ET, so it gets the value of TC.
    assert expected.dice.tolist() == pytest.approx([2 * 1.4 / (1.6 + 2), 2 * 0.8 / (1.0 + 1), 0.8])
    assert expected.empty.tolist() == [False, False, True]


def test_without_any_tumour_the_expected_dice_is_one_half():
    expected = expected_dice(np.zeros(2, np.uint8), np.full((2, 3), 0.1, np.float32))
    assert (expected.dice.tolist(), expected.empty.tolist()) == ([0.5] * 3, [True] * 3)


def test_an_empty_region_has_its_own_coefficients():
    estimator = make_estimator(
        found=((0.0, 1.0), (1.0, 2.0), (9.0, 0.0)), empty=((0.0, 0.0),) * 2 + ((-1.0, 1.0),)
    )
    expected = ExpectedDice(np.array([0.9, 0.75, 0.75]), np.array([False, False, True]))
    estimates = estimator.estimate_dice(expected)
    # ln 3 is the logit of 0.75.
    assert estimates["WT"] == pytest.approx(0.9)
    assert estimates["TC"] == pytest.approx(expit(1 + 2 * np.log(3)))
    assert estimates["ET"] == pytest.approx(expit(-1 + np.log(3)))


def test_a_higher_expected_dice_never_lowers_the_estimate():
    rng = np.random.default_rng(0)
    expected, dice = rng.uniform(0.05, 0.95, (40, 3)), rng.uniform(0, 1, (40, 3))
    found, _ = fit_dice_regression(
        expected, np.zeros((40, 3), bool), (dice > expected).astype(float), np.ones(40)
    )
    assert all(b >= 0 for _, b in found)


def test_the_regression_recovers_its_coefficients():
    """Many predictions whose Dice is σ(−1 + 2 · logit(expected Dice)); every fourth empty one is right."""
    expected = np.random.default_rng(1).uniform(0.1, 0.95, (4000, 3))
    empty = np.zeros((4000, 3), bool)
    empty[:2000, 2] = True
    dice = expit(-1 + 2 * logit(expected))
    dice[:2000, 2] = np.arange(2000) % 4 == 0
    found, of_empty = fit_dice_regression(expected, empty, dice, np.ones(4000))
    for line in found:
        assert line == pytest.approx((-1, 2), abs=0.02)
    assert of_empty[2] == pytest.approx((logit(0.25), 0), abs=0.15)
    assert of_empty[:2] == ((0.0, 1.0), (0.0, 1.0))  # the prior: no case of this kind


def test_a_weight_of_2_counts_as_two_cases():
    expected, empty = np.full((3, 3), 0.5), np.zeros((3, 3), bool)
    dice = np.array([0.9, 0.2, 0.2])[:, np.newaxis].repeat(3, axis=1)
    once, _ = fit_dice_regression(expected[:2], empty[:2], dice[:2], np.array([1.0, 2.0]))
    twice, _ = fit_dice_regression(expected, empty, dice, np.ones(3))
    assert once[0] == pytest.approx(twice[0], abs=1e-3)


def test_low_confidence_has_reasons():
    out_of_distribution = OutOfDistribution(
        mean=(0.0,) * len(FEATURE_NAMES),
        deviation=(1.0,) * len(FEATURE_NAMES),
        limit=3.0,
        required_modalities=("t1", "t2"),
    )
    unusual = USUAL.copy()
    unusual[FEATURE_NAMES.index("t2 (sharpness)")] = -5.0
    sure, unsure = {"WT": 0.9, "ET": LOW_DICE}, {"WT": 0.9, "ET": 0.314}
    estimator = make_estimator(out_of_distribution=out_of_distribution)
    assert estimator.low_confidence_reasons(sure, USUAL) == ()
    assert estimator.low_confidence_reasons(unsure, USUAL) == ("ET: expected Dice 0.31",)
    assert estimator.low_confidence_reasons(unsure, unusual) == (
        "ET: expected Dice 0.31",
        "out of distribution: t2 (sharpness)",
    )
    assert make_estimator().low_confidence_reasons(sure, unusual) == ()


def test_a_round_trip_through_json():
    import json
    from dataclasses import asdict

    out_of_distribution = OutOfDistribution((0.5,) * 35, (1.0,) * 35, 2.5, ("t1",))
    for estimator in (make_estimator(), make_estimator(((1.5, 0.5),) * 3, IDENTITY, out_of_distribution)):
        assert QualityEstimator.from_record(json.loads(json.dumps(asdict(estimator)))) == estimator
