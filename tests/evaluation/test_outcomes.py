"""Scikit-learn and SciPy do the counting; here stand values that a reader can redo."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from glioseg.core.labels import Scheme
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.outcomes import grade_scores, outcome_scores, survival_class, survival_scores

LGG, HGG = True, False


def grades(pairs):
    lgg, probability = zip(*pairs, strict=True)
    return grade_scores(np.array(lgg), np.array(probability, np.float64))


def days(*values):
    return np.array(values, np.float64)


def test_a_perfect_grade():
    found = grades([(HGG, 0.1), (HGG, 0.4), (LGG, 0.6)])
    assert (found["cases"], found["auc"], found["balanced_accuracy"]) == (3, 1, 1)
    assert found["undefined"] == {}


def test_pairs_in_the_right_order_are_counted_and_ties_by_half():
    # LGG .3 and .8 against HGG .3, .5, .1: .5 + 0 + 1 and 1 + 1 + 1 of six pairs.
    found = grades([(LGG, 0.3), (LGG, 0.8), (HGG, 0.3), (HGG, 0.5), (HGG, 0.1)])
    assert found["auc"] == pytest.approx(4.5 / 6)
    # One of two LGG; of three HGG two: 0.5 itself counts as LGG.
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.9])), min_size=1))
def test_auc_is_mann_whitneys_u(pairs):
    found = grades(pairs)
    positive = [p for lgg, p in pairs if lgg]
    negative = [p for lgg, p in pairs if not lgg]
    if positive and negative:
        expected = stats.mannwhitneyu(positive, negative).statistic / len(positive) / len(negative)
        assert found["auc"] == pytest.approx(expected)
    else:
        assert found["auc"] is None


@pytest.mark.parametrize("lgg", [LGG, HGG])
def test_one_grade_alone_has_no_score_but_a_reason(lgg):
    found = grades([(lgg, 0.2), (lgg, 0.9)])
    assert (found["auc"], found["balanced_accuracy"]) == (None, None)
    counts = "2 LGG and 0 HGG" if lgg else "0 LGG and 2 HGG"
    assert found["undefined"]["auc"] == f"expected test cases of both grades, got {counts}"
    assert found["baseline"] == {"auc": 0.5, "balanced_accuracy": 0.5}


def test_survival_classes_of_brats():
    # 10 months are 300 days, 15 are 450.
    assert survival_class(days(1, 299, 300, 450, 451)).tolist() == [0, 0, 1, 1, 2]


def test_survival_by_hand():
    found = survival_scores(days(100, 400, 500), days(200, 500, 470), training_days=days(310, 390, 800))
    # Short found, mid taken for long, long found; errors 100, 100 and 30 days.
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["mse_days2"] == pytest.approx((10000 + 10000 + 900) / 3)
    # Ranks 1 2 3 and 1 3 2: 1 − 6·(0 + 1 + 1) / (3·8).
    assert found["spearman"] == pytest.approx(0.5)
    # Two of the three training cases are mid, and their mean is 500.
    assert found["baseline"]["accuracy"] == pytest.approx(1 / 3)
    assert found["baseline"]["mse_days2"] == pytest.approx((400**2 + 100**2 + 0) / 3)
    assert (found["baseline"]["spearman"], found["cases"], found["undefined"]) == (0, 3, {})


def test_of_equally_frequent_classes_the_shorter_is_the_baseline():
    for training_days in (days(100, 700), days(700, 100)):
        found = survival_scores(days(100, 100, 700), days(1, 2, 3), training_days=training_days)
        assert found["baseline"]["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [(days(300, 400), days(350, 350)), (days(300, 300), days(1, 2)), (days(5), days(5))],
)
def test_without_an_order_there_is_no_correlation(true, predicted):
    found = survival_scores(true, predicted, training_days=days(300))
    assert found["spearman"] is None
    assert "differ between cases" in found["undefined"]["spearman"]
    assert found["mse_days2"] is not None


def test_nobody_known_is_no_error():
    found = survival_scores(days(), days(), training_days=days())
    assert {found[name] for name in ("accuracy", "spearman", "mse_days2")} == {None}
    assert set(found["undefined"]) == {"accuracy", "spearman", "mse_days2"}
    assert found["baseline"] == {"accuracy": None, "spearman": 0, "mse_days2": None}
    json.dumps(found, allow_nan=False)


def case(name, **known):
    return Case(name, {"seg": Path("seg")}, Scheme.BRATS2021, **known)


def test_only_known_cases_count():
    table = pd.DataFrame(
        {
            "grade": ["LGG", "HGG", None],
            "grade_lgg": [0.9, 0.2, 0.1],
            "survival_days": [np.nan, 500.0, 100.0],
            "survival_days_predicted": [1.0, 510.0, 90.0],
        }
    )
    found = outcome_scores(table, training=[case("a", survival_days=300.0), case("b")])
    assert (found["grade"]["cases"], found["grade"]["auc"]) == (2, 1)
    assert (found["survival"]["cases"], found["survival"]["mse_days2"]) == (2, pytest.approx(100))
    assert found["survival"]["baseline"]["mse_days2"] == pytest.approx(200**2)
    json.dumps(found, allow_nan=False)


def test_a_model_without_outcomes_has_no_scores():
    table = pd.DataFrame({"grade": ["LGG"], "survival_days": [300.0]})
    assert outcome_scores(table, training=[case("a")]) == {}
    assert set(outcome_scores(table.assign(grade_lgg=0.5), training=[])) == {"grade"}
