"""Values that a reader can check by hand; scikit-learn and SciPy compute the scores."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from glioseg.core.labels import LabelScheme
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.outcomes import grade_scores, outcome_scores, survival_class, survival_scores

LGG, HGG = True, False


def grades(pairs):
    lgg, probability = zip(*pairs, strict=True)
    return grade_scores(np.array(lgg), np.array(probability, np.float64))


def days(*values):
    return np.array(values, np.float64)


def test_a_perfect_grade():
    scores = grades([(HGG, 0.1), (HGG, 0.4), (LGG, 0.6)])
    assert (scores["cases"], scores["auc"], scores["balanced_accuracy"]) == (3, 1, 1)
    assert scores["undefined"] == {}


def test_auc_counts_ordered_pairs_and_half_of_the_ties():
    # LGG .3 and .8 against HGG .3, .5, .1: .5 + 0 + 1 and 1 + 1 + 1 of six pairs.
    scores = grades([(LGG, 0.3), (LGG, 0.8), (HGG, 0.3), (HGG, 0.5), (HGG, 0.1)])
    assert scores["auc"] == pytest.approx(4.5 / 6)
    # One of two LGG; of three HGG two: 0.5 itself counts as LGG.
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.9])), min_size=1))
def test_auc_is_mann_whitneys_u(pairs):
    scores = grades(pairs)
    positive = [p for lgg, p in pairs if lgg]
    negative = [p for lgg, p in pairs if not lgg]
    if positive and negative:
        expected = stats.mannwhitneyu(positive, negative).statistic / len(positive) / len(negative)
        assert scores["auc"] == pytest.approx(expected)
    else:
        assert scores["auc"] is None


@pytest.mark.parametrize("lgg", [LGG, HGG])
def test_a_single_grade_has_a_reason_instead_of_a_score(lgg):
    scores = grades([(lgg, 0.2), (lgg, 0.9)])
    assert (scores["auc"], scores["balanced_accuracy"]) == (None, None)
    counts = "2 LGG and 0 HGG" if lgg else "0 LGG and 2 HGG"
    assert scores["undefined"]["auc"] == f"expected test cases of both grades, got {counts}"
    assert scores["baseline"] == {"auc": 0.5, "balanced_accuracy": 0.5}


def test_survival_classes_of_brats():
    # 10 months are 300 days, 15 are 450.
    assert survival_class(days(1, 299, 300, 450, 451)).tolist() == [0, 0, 1, 1, 2]


def test_survival_by_hand():
    scores = survival_scores(days(100, 400, 500), days(200, 500, 470), training_days=days(310, 390, 800))
    # Short is right, mid is predicted as long, long is right; errors 100, 100 and 30 days.
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["mse_days2"] == pytest.approx((10000 + 10000 + 900) / 3)
    # Ranks 1 2 3 and 1 3 2: 1 − 6·(0 + 1 + 1) / (3·8).
    assert scores["spearman"] == pytest.approx(0.5)
    # Two of the three training cases are mid, and their mean is 500.
    assert scores["baseline"]["accuracy"] == pytest.approx(1 / 3)
    assert scores["baseline"]["mse_days2"] == pytest.approx((400**2 + 100**2 + 0) / 3)
    assert (scores["baseline"]["spearman"], scores["cases"], scores["undefined"]) == (0, 3, {})


def test_the_baseline_is_the_shorter_of_equally_frequent_classes():
    for training_days in (days(100, 700), days(700, 100)):
        scores = survival_scores(days(100, 100, 700), days(1, 2, 3), training_days=training_days)
        assert scores["baseline"]["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [(days(300, 400), days(350, 350)), (days(300, 300), days(1, 2)), (days(5), days(5))],
)
def test_constant_values_have_no_correlation(true, predicted):
    scores = survival_scores(true, predicted, training_days=days(300))
    assert scores["spearman"] is None
    assert "differ between cases" in scores["undefined"]["spearman"]
    assert scores["mse_days2"] is not None


def test_no_known_survival_is_no_error():
    scores = survival_scores(days(), days(), training_days=days())
    assert {scores[name] for name in ("accuracy", "spearman", "mse_days2")} == {None}
    assert set(scores["undefined"]) == {"accuracy", "spearman", "mse_days2"}
    assert scores["baseline"] == {"accuracy": None, "spearman": 0, "mse_days2": None}
    json.dumps(scores, allow_nan=False)


def case(name, **known):
    return Case(name, {"seg": Path("seg")}, LabelScheme.BRATS2021, **known)


def test_only_cases_with_a_known_outcome_count():
    table = pd.DataFrame(
        {
            "grade": ["LGG", "HGG", None],
            "grade_lgg": [0.9, 0.2, 0.1],
            "survival_days": [np.nan, 500.0, 100.0],
            "survival_days_predicted": [1.0, 510.0, 90.0],
        }
    )
    scores = outcome_scores(table, training=[case("a", survival_days=300.0), case("b")])
    assert (scores["grade"]["cases"], scores["grade"]["auc"]) == (2, 1)
    assert (scores["survival"]["cases"], scores["survival"]["mse_days2"]) == (2, pytest.approx(100))
    assert scores["survival"]["baseline"]["mse_days2"] == pytest.approx(200**2)
    json.dumps(scores, allow_nan=False)


def test_a_model_without_outcomes_has_no_scores():
    table = pd.DataFrame({"grade": ["LGG"], "survival_days": [300.0]})
    assert outcome_scores(table, training=[case("a")]) == {}
    assert set(outcome_scores(table.assign(grade_lgg=0.5), training=[])) == {"grade"}
