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
ONE_PASS = np.empty((0, 3))
USUAL = np.zeros(len(FEATURE_NAMES))


def make_estimator(found=IDENTITY, empty=IDENTITY, out_of_distribution=None):
    return QualityEstimator(found, empty, out_of_distribution)


def implied(dice, empty, agreement=None):
    agreement = np.ones(dice.shape) if agreement is None else agreement
    return [ExpectedDice(*row) for row in zip(dice, empty, agreement, strict=True)]


def fit(expected, empty, dice, cases=None, agreement=None):
    count = len(dice)
    cases = np.arange(count) % 20 if cases is None else cases
    return fit_dice_regression(implied(expected, empty, agreement), dice, np.ones(count), cases)


def test_expected_dice_by_hand():
    regions = np.array([[0.9, 0.8, 0.4], [0.5, 0.2, 0.1], [0.2, 0.0, 0.0]], np.float32)
    expected = expected_dice(np.array([1, 2, 0], np.uint8), regions, pass_ml=ONE_PASS)
    # WT: two voxels with 0.9 and 0.5 of 1.6; TC: one with 0.8 of 1.0; no ET, so it gets the value of TC.
    assert expected.dice.tolist() == pytest.approx([2 * 1.4 / (1.6 + 2), 2 * 0.8 / (1.0 + 1), 0.8])
    assert expected.empty.tolist() == [False, False, True]


def test_without_any_tumour_the_expected_dice_is_one_half():
    expected = expected_dice(np.zeros(2, np.uint8), np.full((2, 3), 0.1, np.float32), pass_ml=ONE_PASS)
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
    fitted = fit(expected, np.zeros((40, 3), bool), (dice > expected).astype(float))
    assert [len(line) for line in fitted.found] == [3, 4, 5]
    assert all(b >= 0 for line in fitted.found for b in line[1:])


def test_the_regression_recovers_its_coefficients():
    """Many predictions whose Dice is σ(−1 + 2 · logit(expected Dice)); every fourth empty one is right."""
    expected = np.random.default_rng(1).uniform(0.1, 0.95, (4000, 3))
    empty = np.zeros((4000, 3), bool)
    empty[:2000, 2] = True
    dice = expit(-1 + 2 * logit(expected))
    dice[:2000, 2] = np.arange(2000) % 4 == 0
    fitted = fit(expected, empty, dice)
    for line in fitted.found:  # the regions around it say no more
        assert line == pytest.approx([-1, 2, *[0] * (len(line) - 2)], abs=0.02)
    assert fitted.empty[2] == pytest.approx([logit(0.25), 0, 0, 0, 0], abs=0.15)
    assert fitted.empty[:2] == (None, None)  # no prediction of this kind


def test_the_dice_of_a_part_depends_on_that_of_the_whole():
    """ET has the same implied Dice in all predictions; it is good where the whole tumour is certain."""
    expected = np.full((40, 3), 0.8)
    expected[::2, 0] = 0.3
    dice = np.where(expected[:, :1] > 0.5, 0.9, 0.1) * np.ones(3)
    estimates = fit(expected, np.zeros((40, 3), bool), dice).estimate_dice
    for whole, true in ((0.8, 0.9), (0.3, 0.1)):
        scan = ExpectedDice(np.array([whole, 0.8, 0.8]), np.zeros(3, bool))
        assert estimates(scan)["ET"] == pytest.approx(true, abs=0.08)


def test_where_mirror_images_disagree_the_estimate_is_lower():
    """All predictions imply a Dice of 0.8; those on whose volume the passes disagree are bad."""
    expected, agreement = np.full((400, 3), 0.8), np.full((400, 3), 0.98)
    agreement[::2] = 0.6
    dice = np.where(agreement > 0.9, 0.9, 0.1)
    fitted = fit(expected, np.zeros((400, 3), bool), dice, agreement=agreement)
    for agree, true in ((0.98, 0.9), (0.6, 0.1)):
        scan = ExpectedDice(np.full(3, 0.8), np.zeros(3, bool), np.full(3, agree))
        assert list(fitted.estimate_dice(scan).values()) == pytest.approx([true] * 3, abs=0.08)


def test_an_estimator_without_a_slope_of_agreement_ignores_it():
    scan = ExpectedDice(np.full(3, 0.7), np.zeros(3, bool), np.full(3, 0.1))
    assert list(make_estimator().estimate_dice(scan).values()) == pytest.approx([0.7] * 3)


@pytest.mark.parametrize(("cases", "known"), [(10, True), (8, False)])
def test_the_probability_of_true_absence_needs_five_cases_of_either_kind(cases, known):
    """Each case has three copies without ET; every second case truly has none."""
    names = np.repeat(np.arange(cases), 3)
    empty, dice = np.zeros((len(names), 3), bool), np.full((len(names), 3), 0.7)
    empty[:, 2], dice[:, 2] = True, names % 2
    fitted = fit(np.full((len(names), 3), 0.7), empty, dice, names)
    absent = fitted.estimate_dice(ExpectedDice(np.full(3, 0.7), np.array([False, False, True])))["ET"]
    assert absent == (pytest.approx(0.5, abs=0.03) if known else None)
    if not known:
        reasons = fitted.low_confidence_reasons({"ET": absent}, USUAL)
        assert reasons == ("ET: not found, which is uncertain",)


def test_at_most_a_tenth_of_the_good_predictions_are_false_alarms():
    """A prediction is good with the probability that its implied Dice states."""
    rng = np.random.default_rng(5)
    expected = rng.uniform(0.1, 0.9, (400, 3))
    dice = np.where(rng.random((400, 3)) < expected, 0.9, 0.1)
    fitted = fit(expected, np.zeros((400, 3), bool), dice)
    estimates = [fitted.estimate_dice(ExpectedDice(row, np.zeros(3, bool))) for row in expected]
    for r, region in enumerate(("WT", "TC", "ET")):
        low = np.array([each[region] for each in estimates]) < fitted.low_dice[r]
        assert 0.03 < low[dice[:, r] > 0.6].mean() < 0.1
        assert fitted.low_dice[r] < LOW_DICE
    few = fit(expected[:9], np.zeros((9, 3), bool), dice[:9])
    assert few.low_dice == (LOW_DICE,) * 3


def test_regions_that_cannot_be_judged_do_not_count():
    expected, empty = np.full((6, 3), 0.7), np.zeros((6, 3), bool)
    dice = np.full((6, 3), 0.8)
    dice[3:, 2], empty[4:, 2] = np.nan, True
    assert fit(expected, empty, dice).found[2] == fit(expected[:3], empty[:3], dice[:3]).found[2]


def test_a_weight_of_2_counts_as_two_cases():
    expected, empty = np.full((3, 3), 0.5), np.zeros((3, 3), bool)
    dice = np.array([0.9, 0.2, 0.2])[:, np.newaxis].repeat(3, axis=1)
    two = implied(expected[:2], empty[:2])
    once = fit_dice_regression(two, dice[:2], np.array([1.0, 2.0]), np.arange(2))
    assert once.found[0] == pytest.approx(fit(expected, empty, dice).found[0], abs=1e-3)


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
    of_phantoms = estimator.low_confidence_reasons(unsure, USUAL, basis=" (synthetic)")
    assert of_phantoms == ("ET: expected Dice 0.31 (synthetic)",)


def test_a_round_trip_through_json():
    import json
    from dataclasses import asdict

    out_of_distribution = OutOfDistribution((0.5,) * 35, (1.0,) * 35, 2.5, ("t1",))
    absent = (None, (0.5, 1.0), (0.25, 0.5, 0.0, 1.0))
    low = QualityEstimator(((1.0, 2.0), (1.0, 2.0, 0.5), (0.0, 1.0)), absent, None, (0.6, 0.5, 0.4))
    for estimator in (
        make_estimator(),
        make_estimator(((1.5, 0.5),) * 3, IDENTITY, out_of_distribution),
        low,
    ):
        assert QualityEstimator.from_record(json.loads(json.dumps(asdict(estimator)))) == estimator
