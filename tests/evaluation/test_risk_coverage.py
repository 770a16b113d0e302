import numpy as np
import pandas as pd
import pytest

from glioseg.evaluation.risk_coverage import curves, risk_coverage, risk_coverage_scores


def table(confidence, dice):
    columns = {
        f"{name}_{region}": values
        for region in ("wt", "tc", "et")
        for name, values in (("confidence", confidence), ("dice", dice))
    }
    return pd.DataFrame({"case": range(len(dice)), **columns})


def test_the_curve_by_hand():
    # The most confident case has Dice 0.6, then 1.0 and 0.2.
    curve = risk_coverage(np.array([0.5, 0.9, 0.1]), np.array([1.0, 0.6, 0.2]))
    assert curve.tolist() == pytest.approx([0.4, 0.2, 0.4])


def test_ties_get_the_mean_over_all_orders():
    """The oracle enumerates all orders of the tied cases."""
    from itertools import permutations

    dice = np.array([0.9, 0.1, 0.4, 0.8])
    orders = [(0, *rest) for rest in permutations((1, 2, 3))]
    risks = [np.cumsum(1 - dice[list(order)]) / np.arange(1, 5) for order in orders]
    curve = risk_coverage(np.array([0.7, 0.3, 0.3, 0.3]), dice)
    np.testing.assert_allclose(curve, np.mean(risks, axis=0))


def test_areas_of_the_ideal_and_the_random_order():
    scores = risk_coverage_scores(table([0.5, 0.9, 0.1], [1.0, 0.6, 0.2]))["risk_coverage"]["TC"]
    ideal = np.mean([0, 0.2, 0.4])
    assert scores["aurc"] == pytest.approx(1 / 3)
    assert (scores["aurc_ideal"], scores["aurc_random"]) == pytest.approx((ideal, 0.4))
    assert scores["excess"] == pytest.approx((1 / 3 - ideal) / (0.4 - ideal))
    assert scores["expected_dice"] == pytest.approx(0.5)
    assert scores["mean_absolute_error"] == pytest.approx((0.5 + 0.3 + 0.1) / 3)


@pytest.mark.parametrize(("confidence", "excess"), [([3, 2, 1], 0.0), ([1, 1, 1], 1.0)])
def test_excess_is_0_for_the_best_order_and_1_for_none(confidence, excess):
    scores = risk_coverage_scores(table(confidence, [0.9, 0.5, 0.1]))["risk_coverage"]["WT"]
    assert scores["excess"] == pytest.approx(excess)


def test_equal_cases_have_no_excess():
    assert risk_coverage_scores(table([0.1, 0.9], [1.0, 1.0]))["risk_coverage"]["ET"]["excess"] is None


def test_cases_of_unknown_confidence_do_not_count():
    scores = risk_coverage_scores(table([3, np.nan, 1], [0.9, 0.5, 0.1]))["risk_coverage"]
    assert scores["WT"]["aurc"] == pytest.approx((0.1 + 0.5) / 2)
    assert risk_coverage_scores(table([np.nan] * 3, [0.9, 0.5, 0.1]))["risk_coverage"] == {}


def test_a_model_without_confidence_has_no_scores():
    assert risk_coverage_scores(pd.DataFrame({"dice_wt": [1.0]})) == {}


def test_curves_of_the_three_orders():
    three = curves(table([0.5, 0.9, 0.1], [1.0, 0.6, 0.2]), "WT")
    assert three["confidence"].tolist() == pytest.approx([0.4, 0.2, 0.4])
    assert three["ideal"].tolist() == pytest.approx([0, 0.2, 0.4])
    assert three["random"].tolist() == pytest.approx([0.4, 0.4, 0.4])
