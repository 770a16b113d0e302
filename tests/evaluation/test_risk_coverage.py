import numpy as np
import pandas as pd
import pytest

from glioseg.evaluation.charts import selective_chart
from glioseg.evaluation.risk_coverage import curves, risk_coverage, selective_scores


def table(confidence, dice):
    columns = {
        f"{name}_{region}": values
        for region in ("wt", "tc", "et")
        for name, values in (("confidence", confidence), ("dice", dice))
    }
    return pd.DataFrame({"case": range(len(dice)), **columns})


def test_the_curve_by_hand():
    # The surest has Dice 0.6, then 1.0 and 0.2.
    curve = risk_coverage(np.array([0.5, 0.9, 0.1]), np.array([1.0, 0.6, 0.2]))
    assert curve.tolist() == pytest.approx([0.4, 0.2, 0.4])


def test_ties_come_in_no_order():
    """The mean over all orders of the tied cases, which are tried here."""
    from itertools import permutations

    dice = np.array([0.9, 0.1, 0.4, 0.8])
    orders = [(0, *rest) for rest in permutations((1, 2, 3))]
    risks = [np.cumsum(1 - dice[list(order)]) / np.arange(1, 5) for order in orders]
    curve = risk_coverage(np.array([0.7, 0.3, 0.3, 0.3]), dice)
    np.testing.assert_allclose(curve, np.mean(risks, axis=0))


def test_areas_beside_the_best_order_and_no_order():
    scores = selective_scores(table([0.5, 0.9, 0.1], [1.0, 0.6, 0.2]))["risk_coverage"]["TC"]
    ideal = np.mean([0, 0.2, 0.4])
    assert scores["aurc"] == pytest.approx(1 / 3)
    assert (scores["aurc_ideal"], scores["aurc_random"]) == pytest.approx((ideal, 0.4))
    assert scores["excess"] == pytest.approx((1 / 3 - ideal) / (0.4 - ideal))
    assert (scores["expected_dice"], scores["off_by"]) == pytest.approx((0.5, (0.5 + 0.3 + 0.1) / 3))


@pytest.mark.parametrize(("confidence", "excess"), [([3, 2, 1], 0.0), ([1, 1, 1], 1.0)])
def test_the_best_order_has_no_excess_and_no_order_all_of_it(confidence, excess):
    scores = selective_scores(table(confidence, [0.9, 0.5, 0.1]))["risk_coverage"]["WT"]
    assert scores["excess"] == pytest.approx(excess)


def test_where_all_cases_are_the_same_there_is_nothing_to_rank():
    assert selective_scores(table([0.1, 0.9], [1.0, 1.0]))["risk_coverage"]["ET"]["excess"] is None


def test_a_model_without_confidence_is_not_judged():
    assert selective_scores(pd.DataFrame({"dice_wt": [1.0]})) == {}


def test_the_chart_shows_three_curves_a_region_and_stays_the_same():
    rows = table([0.5, 0.9, 0.1], [1.0, 0.6, 0.2])
    assert set(curves(rows, "WT")) == {"confidence", "ideal", "random"}
    chart = selective_chart(rows)
    assert chart == selective_chart(rows)
    for text in (b"WT", b"TC", b"ET", b"by confidence", b"in no order", b"surest cases kept, %"):
        assert text in chart
