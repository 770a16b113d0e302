import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import (
    CASE_METRICS,
    METRICS,
    PREDICTION_METRICS,
    REGION_METRICS,
    STRUCTURES,
    column,
)
from glioseg.evaluation.summary import (
    Summary,
    bootstrap,
    dice_table,
    headline,
    interval_coverage,
    interval_line,
    lesion_line,
    summarise,
)


def test_a_constant_sample_has_a_constant_summary():
    assert bootstrap(np.full((7, 1), 0.25), samples=50, seed=3) == [Summary(0.25, 0.25, 0.25, 0.25)]


def test_one_case_has_no_spread():
    assert bootstrap(np.array([[0.4]]), samples=50, seed=3) == [Summary(0.4, 0.4, 0.4, 0.4)]


def test_two_cases_can_each_be_sampled_twice():
    # Means of two samples from {0, 1}: 0 in a quarter of all, 1/2 in a half, 1 in a quarter.
    assert bootstrap(np.array([[0.0], [1.0]]), samples=1000, seed=0) == [Summary(0.5, 0.5, 0.0, 1.0)]


def test_mean_and_median_are_those_of_the_cases():
    (summary,) = bootstrap(np.array([[0.0], [0.1], [0.8]]), samples=10, seed=0)
    assert (summary.mean, summary.median) == (pytest.approx(0.3), 0.1)


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(5).beta(8, 2, 30)
    (ours,) = bootstrap(values[:, None], samples=9999, seed=1)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.003)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random((9, 2))
    assert bootstrap(values, samples=40, seed=1) == bootstrap(values, samples=40, seed=1)
    assert bootstrap(values, samples=40, seed=1) != bootstrap(values, samples=40, seed=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 2)), "expected at least one case, got none"),
        (np.array([[0.5], [np.nan]]), "expected finite values"),
    ],
)
def test_missing_values_are_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, samples=10, seed=0)


def test_a_table_becomes_nested_numbers():
    names = [column(metric, structure) for metric in METRICS for structure in STRUCTURES]
    regional = (*REGION_METRICS, *PREDICTION_METRICS)
    names += [column(metric, region) for metric in regional for region in REGIONS]
    rows = [
        {"case": case, **dict.fromkeys([*names, *CASE_METRICS], value)}
        for case, value in (("a", 0.2), ("b", 0.6))
    ]
    table = pd.DataFrame(rows)
    without = summarise(table, samples=500, seed=0)
    assert not [name for name in without if "interval" in name]
    summary = summarise(table.assign(interval_level=0.875), samples=500, seed=0)
    assert summary["cases"] == 2
    leaf = {"mean": pytest.approx(0.4), "median": pytest.approx(0.4), "low": 0.2, "high": 0.6}
    assert summary["dice"]["WT"] == leaf
    assert summary["hd95_area_mm"]["label_NCR"] == leaf
    assert summary["lesion_dice"] == dict.fromkeys(REGIONS, leaf)
    assert summary["seed_weighted_dice"] == leaf
    assert summary["volume_interval_coverage"] == dict.fromkeys(REGIONS, 1)
    assert summary["calibration_error"] == dict.fromkeys(REGIONS, leaf)
    assert summary["volume_interval_level"] == 0.875
    of_predictions = {"volume_interval_level", "volume_interval_coverage", "calibration_error"}
    assert set(summary) == {"cases", *METRICS, *REGION_METRICS, *CASE_METRICS, *of_predictions}


def test_intervals_include_their_ends():
    table = pd.DataFrame(
        {
            "truth_wt_ml": [1.0, 2.0, 3.0, 3.1, 0.0],
            "low_wt_ml": [1.1, 2.0, 1.0, 1.0, 0.0],
            "high_wt_ml": [2.0, 3.0, 3.0, 3.0, 0.0],
        }
    )
    assert interval_coverage(table, "WT") == 3 / 5


def test_the_headline_contains_the_means_that_compare_models():
    regions = {
        region: {"mean": mean, "low": 0.0} for region, mean in zip(REGIONS, (0.5, 0.25, 1), strict=True)
    }
    metrics = {"mean_dice": {"mean": 0.5}, "dice": regions, "lesion_dice": regions, "hd95_area_mm": regions}
    means = {"WT": 0.5, "TC": 0.25, "ET": 1}
    assert headline(metrics | {"seed_dice": {"mean": 0.1}}) == {
        "mean_dice": 0.5,
        "dice": means,
        "lesion_dice": means,
        "hd95_area_mm": means,
    }


def test_the_table_has_one_line_for_each_region():
    dice = {"mean": 0.9, "low": 0.85, "high": 0.95, "median": 0.91}
    metrics = {
        "dice": dict.fromkeys(("WT", "TC", "ET"), dice),
        "hd95_area_mm": {region: {"mean": 4.5} for region in ("WT", "TC", "ET")},
    }
    header, *lines = dice_table(metrics).splitlines()
    assert header.split() == ["test", "Dice", "95", "%", "interval", "median", "HD95,", "mm"]
    assert [line.split() for line in lines] == [
        [region, "0.900", "0.850", "to", "0.950", "0.910", "4.5"] for region in ("WT", "TC", "ET")
    ]
    assert len({len(line) for line in [header, *lines]}) == 1


def test_lesion_wise_dice_in_one_line():
    metrics = {"lesion_dice": {"WT": {"mean": 0.8}, "TC": {"mean": 0.75}, "ET": {"mean": 0.6151}}}
    assert lesion_line(metrics).endswith("WT 0.800, TC 0.750, ET 0.615")


def test_coverage_and_level_of_intervals_in_one_line():
    coverage = {"WT": 6 / 11, "TC": 1.0, "ET": 10 / 11}
    metrics = {"cases": 11, "volume_interval_level": 7 / 8, "volume_interval_coverage": coverage}
    line = "true volume in its 88 % interval: WT 6 of 11, TC 11 of 11, ET 10 of 11"
    assert interval_line(metrics) == line
    assert interval_line({"cases": 11}) == ""
