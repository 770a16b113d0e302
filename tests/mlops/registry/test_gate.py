import numpy as np
import pytest
from scipy import stats

from glioseg.evaluation.summary import bootstrap_means
from glioseg.mlops.registry.gate import (
    BEST_ROLE,
    CHAMPION_ROLE,
    COMPARED,
    Baseline,
    GateError,
    compare_regions,
    decide,
    pair_cases,
    tail_probability,
)
from glioseg.mlops.registry.gate_report import decision_table
from glioseg.params.sections import DiceMargin, PromotionLimits
from tests.helpers.gate import decide_on, make_rules, random_table, table


def region_of(decision, region):
    return next(comparison for comparison in regions(decision) if comparison.region == region)


def regions(decision):
    """The comparison with the champion, region by region."""
    return decision.comparisons[0].regions


def test_a_difference_is_paired_by_case_and_not_by_row():
    decision = decide_on(table(a=0.9, b=0.6), table(b=0.5, a=0.8))
    assert decision.promoted
    for comparison in regions(decision):
        bounds = (comparison.difference, comparison.low, comparison.high)
        assert bounds == pytest.approx((0.1, 0.1, 0.1))  # both cases have the same difference


def test_each_region_and_their_mean_are_compared():
    decision = decide_on(table(a=(0.9, 0.6, 0.3)), table(a=(0.8, 0.7, 0.0)), margin=1)
    differences = {comparison.region: comparison.difference for comparison in regions(decision)}
    assert differences == pytest.approx({"WT": 0.1, "TC": -0.1, "ET": 0.3, "mean": 0.1})
    assert (region_of(decision, "mean").candidate, region_of(decision, "mean").baseline) == pytest.approx(
        (0.6, 0.5)
    )


@pytest.mark.parametrize(
    ("ours", "margin", "promoted"),
    [(0.70, 0.0, True), (0.69, 0.0, False), (0.69, 0.01, True), (0.68, 0.01, False), (0.71, 0.0, True)],
)
def test_a_candidate_may_lose_the_margin_and_no_more(ours, margin, promoted):
    decision = decide_on(table(a=ours, b=ours), table(a=0.7, b=0.7), margin=margin)
    assert decision.promoted is promoted


def test_one_region_alone_can_fail_by_its_own_margin():
    new, champion = table(a=(0.9, 0.9, 0.5)), table(a=(0.8, 0.8, 0.55))
    assert not decide_on(new, champion, margin=0.02).promoted
    loose = make_rules(margin=0.02).margin.model_copy(update={"et": 0.06})
    rules = make_rules().model_copy(update={"margin": loose})
    assert decide(new, [Baseline("4", CHAMPION_ROLE, champion)], rules=rules, measured={}).promoted
    decision = decide_on(new, champion, margin=0.02)
    assert decision.reason == "ET Dice -0.0500, lower bound -0.0500, margin 0.02"


def test_a_gain_on_average_does_not_pass_where_cases_are_few_and_scattered():
    new, champion = table(a=0.9, b=0.6, c=0.8), table(a=0.7, b=0.7, c=0.7)
    decision = decide_on(new, champion, margin=0.02)
    assert region_of(decision, "mean").difference == pytest.approx(0.2 / 3)
    assert region_of(decision, "mean").low == pytest.approx(
        -0.1
    )  # with three cases the bound is the worst case
    assert not decision.promoted


def test_the_bound_equals_scipy_s_bootstrap_with_the_same_random_numbers():
    new, champion = random_table(1), random_table(2)
    rules = make_rules(samples=4000, seed=5)
    differences = pair_cases(new, champion).pivot_table(index="case", columns="region", values="difference")
    tail = tail_probability(rules.confidence, len(differences))
    for comparison in compare_regions(pair_cases(new, champion), rules=rules):
        expected = stats.bootstrap(
            (differences[comparison.region].to_numpy(),),
            np.mean,
            n_resamples=rules.samples,
            confidence_level=1 - 2 * tail,
            method="percentile",
            rng=np.random.default_rng(rules.seed),
        ).confidence_interval
        assert (comparison.low, comparison.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("cases", [8, 11, 250])
def test_the_bound_of_normal_differences_is_close_to_student_s_t(cases):
    differences = stats.norm.ppf((np.arange(cases) + 0.5) / cases) * 0.03
    rows = {f"case {index:03d}": 0.5 + d for index, d in enumerate(differences)}
    decision = decide_on(table(**rows), table(**dict.fromkeys(rows, 0.5)), samples=20000)
    expected = stats.t.ppf(0.05, cases - 1) * differences.std(ddof=1) / np.sqrt(cases)
    assert region_of(decision, "WT").low == pytest.approx(expected, rel=0.05)


def test_a_model_that_is_worse_by_the_margin_passes_as_rarely_as_the_confidence_promises():
    """Of 1000 models that lose exactly the margin, about one in twenty passes."""
    differences = np.random.default_rng(3).normal(-0.02, 0.03, (11, 1000))
    means = bootstrap_means(differences, samples=1000, seed=0)
    bounds = np.quantile(means, [tail_probability(0.95, 11), 0.05], axis=0)
    expanded, plain = (bounds >= -0.02).sum(axis=1)
    low, high = stats.binom.ppf([0.001, 0.999], 1000, 0.05)
    assert low <= expanded <= high < plain


def test_the_same_seed_gives_the_same_decision_whatever_the_order_of_cases():
    new, champion = random_table(1), random_table(2)
    first, again = decide_on(new, champion), decide_on(new[::-1], champion.sample(frac=1, random_state=0))
    assert regions(again) == regions(first)
    assert regions(decide_on(new, champion, seed=2)) != regions(first)


def test_a_hard_limit_holds_for_the_first_champion_too():
    limits = PromotionLimits(calibration_error=0.05, case_s=None, memory_gb=4)
    good = decide_on(
        table(a=0.9), None, {"calibration_error": 0.05, "memory_gb": 4, "case_s": 99}, limits=limits
    )
    assert (good.promoted, good.reason) == (True, "the first champion")
    assert [limit.name for limit in good.limits] == ["calibration_error", "memory_gb"]
    bad = decide_on(table(a=0.9), None, {"calibration_error": 0.06, "memory_gb": 5}, limits=limits)
    assert not bad.promoted
    assert bad.reason == "calibration_error 0.06, limit 0.05; memory_gb 5, limit 4"


def test_a_better_model_does_not_pass_if_it_exceeds_a_limit():
    limits = PromotionLimits(calibration_error=None, case_s=10, memory_gb=None)
    slow = decide_on(table(a=0.9), table(a=0.8), {"case_s": 10.5}, limits=limits)
    assert (slow.promoted, slow.reason) == (False, "case_s 10.5, limit 10")
    assert decide_on(table(a=0.9), table(a=0.8), {"case_s": 9.5}, limits=limits).promoted


@pytest.mark.parametrize("measured", [{}, {"case_s": float("nan")}])
def test_a_limit_without_a_measurement_fails(measured):
    limits = PromotionLimits(calibration_error=None, case_s=10, memory_gb=None)
    assert not decide_on(table(a=0.9), None, measured, limits=limits).promoted


def test_tables_of_different_cases_are_an_error():
    with pytest.raises(GateError, match=r"same test cases.*'b'.*'c'"):
        decide_on(table(a=1, b=1), table(a=1, c=1))


def test_the_reason_contains_the_comparison_of_the_mean():
    decision = decide_on(table(a=0.9, b=0.7), table(a=0.8, b=0.6), margin=0.01)
    assert decision.reason == "no worse on 2 test cases: mean Dice +0.1000, lower bound +0.1000, margin 0.01"


def test_the_best_champion_so_far_is_a_second_condition():
    baselines = [
        Baseline("2", CHAMPION_ROLE, table(a=0.79, b=0.69)),
        Baseline("1", BEST_ROLE, table(a=0.8, b=0.7)),
    ]
    new = table(a=0.785, b=0.685)
    decision = decide(new, baselines, rules=make_rules(margin=0.02), measured={})
    assert decision.promoted
    assert decision.reason == (
        "no worse on 2 test cases: mean Dice -0.0050, lower bound -0.0050, margin 0.02;"
        " against the best champion so far, version 1: mean Dice -0.0150, lower bound -0.0150, margin 0.02"
    )
    decision = decide(new, baselines, rules=make_rules(margin=0.01), measured={}, remarks=["a remark"])
    assert not decision.promoted
    first, *_, last = decision.reason.split("; ")
    assert first.startswith("against the best champion so far, version 1: WT Dice -0.0150")
    assert last == "a remark"
    lines = decision_table(decision).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("gate")] == ["champion", "best"]
    assert sum("does not pass" in line for line in lines) == 4  # against the best only


def test_margins_are_named_by_region():
    assert {name.upper() for name in DiceMargin.model_fields} == {region.upper() for region in COMPARED}
