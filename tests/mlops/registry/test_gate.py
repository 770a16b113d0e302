import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from glioseg.evaluation.summary import bootstrap_means
from glioseg.mlops.registry.gate import (
    BEST,
    CHAMPION,
    COMPARED,
    GateError,
    Rival,
    compare,
    judge,
    paired,
    tail_share,
)
from glioseg.mlops.registry.gate_report import verdict_table, write_record
from glioseg.params.promotion import Limits, Margin
from tests.helpers.rules import make_rules

NAMES = {"version": "6", "compared_with": "4", "verdict": "as it was said"}


def table(**dice):
    """Cases with one Dice for all three regions, or with one for each."""
    rows = [[case, *(d if isinstance(d, tuple) else (d, d, d))] for case, d in dice.items()]
    return pd.DataFrame(rows, columns=["case", "dice_wt", "dice_tc", "dice_et"])


def many(seed, cases=30, shift=0.0):
    """Dice of some cases; those of another seed are a little different, case by case."""
    dice = np.random.default_rng(0).uniform(0.5, 0.9, (cases, 3))
    dice = dice + np.random.default_rng(seed).normal(shift, 0.03, (cases, 3))
    return table(**{f"case {index}": tuple(row) for index, row in enumerate(dice)})


def verdict_of(new, standing, measured=None, **rules):
    rivals = [] if standing is None else [Rival("4", CHAMPION, standing)]
    return judge(new, rivals, rules=make_rules(**rules), measured=measured or {})


def found(verdict, region):
    return next(comparison for comparison in comparisons(verdict) if comparison.region == region)


def comparisons(verdict):
    """With the champion."""
    return verdict.against[0].comparisons


def test_a_difference_is_paired_by_case_and_not_by_row():
    verdict = verdict_of(table(a=0.9, b=0.6), table(b=0.5, a=0.8))
    assert verdict.promoted
    for comparison in comparisons(verdict):
        bounds = (comparison.difference, comparison.low, comparison.high)
        assert bounds == pytest.approx((0.1, 0.1, 0.1))  # the same in both cases: nothing varies


def test_each_region_is_compared_and_so_is_their_mean():
    verdict = verdict_of(table(a=(0.9, 0.6, 0.3)), table(a=(0.8, 0.7, 0.0)), margin=1)
    differences = {comparison.region: comparison.difference for comparison in comparisons(verdict)}
    assert differences == pytest.approx({"WT": 0.1, "TC": -0.1, "ET": 0.3, "mean": 0.1})
    assert (found(verdict, "mean").candidate, found(verdict, "mean").champion) == pytest.approx((0.6, 0.5))


@pytest.mark.parametrize(
    ("ours", "margin", "promoted"),
    [(0.70, 0.0, True), (0.69, 0.0, False), (0.69, 0.01, True), (0.68, 0.01, False), (0.71, 0.0, True)],
)
def test_it_may_lose_the_margin_and_no_more(ours, margin, promoted):
    verdict = verdict_of(table(a=ours, b=ours), table(a=0.7, b=0.7), margin=margin)
    assert verdict.promoted is promoted


def test_one_region_alone_can_fail_by_its_own_margin():
    new, standing = table(a=(0.9, 0.9, 0.5)), table(a=(0.8, 0.8, 0.55))
    assert not verdict_of(new, standing, margin=0.02).promoted
    loose = make_rules(margin=0.02).margin.model_copy(update={"et": 0.06})
    rules = make_rules().model_copy(update={"margin": loose})
    assert judge(new, [Rival("4", CHAMPION, standing)], rules=rules, measured={}).promoted
    verdict = verdict_of(new, standing, margin=0.02)
    assert verdict.reason == "ET Dice -0.0500, lower bound -0.0500, margin 0.02"


def test_a_gain_on_average_does_not_pass_where_cases_are_few_and_scattered():
    new, standing = table(a=0.9, b=0.6, c=0.8), table(a=0.7, b=0.7, c=0.7)
    verdict = verdict_of(new, standing, margin=0.02)
    assert found(verdict, "mean").difference == pytest.approx(0.2 / 3)
    assert found(verdict, "mean").low == pytest.approx(-0.1)  # of three cases the bound is the worst
    assert not verdict.promoted


def test_the_bound_is_that_of_scipy_with_the_same_draws():
    new, standing = many(1), many(2)
    rules = make_rules(samples=4000, seed=5)
    differences = paired(new, standing).pivot_table(index="case", columns="region", values="difference")
    tail = tail_share(rules.confidence, len(differences))
    for comparison in compare(paired(new, standing), rules=rules):
        theirs = stats.bootstrap(
            (differences[comparison.region].to_numpy(),),
            np.mean,
            n_resamples=rules.samples,
            confidence_level=1 - 2 * tail,
            method="percentile",
            rng=np.random.default_rng(rules.seed),
        ).confidence_interval
        assert (comparison.low, comparison.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("cases", [8, 11, 250])
def test_the_bound_of_normal_differences_is_about_student_s_t(cases):
    differences = stats.norm.ppf((np.arange(cases) + 0.5) / cases) * 0.03
    rows = {f"case {index:03d}": 0.5 + d for index, d in enumerate(differences)}
    verdict = verdict_of(table(**rows), table(**dict.fromkeys(rows, 0.5)), samples=20000)
    student = stats.t.ppf(0.05, cases - 1) * differences.std(ddof=1) / np.sqrt(cases)
    assert found(verdict, "WT").low == pytest.approx(student, rel=0.05)


def test_a_model_that_is_worse_by_the_margin_passes_as_seldom_as_it_is_said():
    """Of a thousand models that lose exactly the margin, about one in twenty is let through."""
    differences = np.random.default_rng(3).normal(-0.02, 0.03, (11, 1000))
    means = bootstrap_means(differences, samples=1000, seed=0)
    bounds = np.quantile(means, [tail_share(0.95, 11), 0.05], axis=0)
    ours, plain = (bounds >= -0.02).sum(axis=1)
    low, high = stats.binom.ppf([0.001, 0.999], 1000, 0.05)
    assert low <= ours <= high < plain


def test_the_same_seed_gives_the_same_verdict_whatever_the_order_of_cases():
    new, standing = many(1), many(2)
    first, again = verdict_of(new, standing), verdict_of(new[::-1], standing.sample(frac=1, random_state=0))
    assert comparisons(again) == comparisons(first)
    assert comparisons(verdict_of(new, standing, seed=2)) != comparisons(first)


def test_a_hard_limit_holds_for_the_first_champion_too():
    limits = Limits(calibration_error=0.05, case_s=None, memory_gb=4)
    good = verdict_of(
        table(a=0.9), None, {"calibration_error": 0.05, "memory_gb": 4, "case_s": 99}, limits=limits
    )
    assert (good.promoted, good.reason) == (True, "the first champion")
    assert [limit.name for limit in good.limits] == ["calibration_error", "memory_gb"]
    bad = verdict_of(table(a=0.9), None, {"calibration_error": 0.06, "memory_gb": 5}, limits=limits)
    assert not bad.promoted
    assert bad.reason == "calibration_error 0.06, limit 0.05; memory_gb 5, limit 4"


def test_a_better_model_does_not_pass_if_it_exceeds_a_limit():
    limits = Limits(calibration_error=None, case_s=10, memory_gb=None)
    slow = verdict_of(table(a=0.9), table(a=0.8), {"case_s": 10.5}, limits=limits)
    assert (slow.promoted, slow.reason) == (False, "case_s 10.5, limit 10")
    assert verdict_of(table(a=0.9), table(a=0.8), {"case_s": 9.5}, limits=limits).promoted


@pytest.mark.parametrize("measured", [{}, {"case_s": float("nan")}])
def test_what_was_not_measured_is_not_kept(measured):
    limits = Limits(calibration_error=None, case_s=10, memory_gb=None)
    assert not verdict_of(table(a=0.9), None, measured, limits=limits).promoted


def test_other_cases_are_an_error():
    with pytest.raises(GateError, match=r"same test cases.*'b'.*'c'"):
        verdict_of(table(a=1, b=1), table(a=1, c=1))


def test_the_reason_says_what_was_compared():
    verdict = verdict_of(table(a=0.9, b=0.7), table(a=0.8, b=0.6), margin=0.01)
    assert verdict.reason == "no worse on 2 test cases: mean Dice +0.1000, lower bound +0.1000, margin 0.01"


def test_the_record_holds_every_case_and_a_picture(tmp_path):
    rules = make_rules(margin=0.02, limits=Limits(calibration_error=0.05, case_s=None, memory_gb=None))
    rivals = [Rival("4", CHAMPION, many(2, shift=0.2)), Rival("2", BEST, many(3, shift=0.3))]
    remarks = ["a remark"]
    verdict = judge(many(1), rivals, rules=rules, measured={"calibration_error": 0.01}, remarks=remarks)
    write_record(tmp_path, verdict, rules=rules, names=NAMES)
    record = json.loads((tmp_path / "verdict.json").read_text())
    assert record.items() >= {**NAMES, "promoted": False}.items()
    assert record["rules"] == rules.model_dump()
    assert [(each["version"], each["role"]) for each in record["compared"]] == [("4", CHAMPION), ("2", BEST)]
    for each in record["compared"]:
        assert [row["region"] for row in each["comparisons"]] == list(COMPARED)
    assert record["remarks"] == remarks
    assert record["limits"] == [{"name": "calibration_error", "value": 0.01, "limit": 0.05, "kept": True}]
    rows = pd.read_csv(tmp_path / "cases.csv")
    assert rows["compared_with"].tolist() == [4] * 30 * len(COMPARED) + [2] * 30 * len(COMPARED)
    np.testing.assert_allclose(rows["candidate"] - rows["champion"], rows["difference"])
    with Image.open(tmp_path / "differences.png") as picture:
        assert min(picture.size) > 800  # a row of panels for each
        assert len(picture.convert("RGB").getcolors(picture.width * picture.height)) > 50


def test_the_first_champion_s_record_has_nothing_to_compare(tmp_path):
    write_record(tmp_path, verdict_of(table(a=0.9), None), rules=make_rules(), names=NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]
    assert json.loads((tmp_path / "verdict.json").read_text())["compared"] == []


def test_the_table_shows_each_region_and_limit():
    limits = Limits(calibration_error=0.05, case_s=1, memory_gb=None)
    new, standing = table(a=(0.9, 0.6, 0.3)), table(a=(0.8, 0.7, 0.0))
    verdict = verdict_of(new, standing, {"calibration_error": 0.01, "case_s": 2}, margin=0.02, limits=limits)
    lines = [line.split() for line in verdict_table(verdict).splitlines()]
    assert lines[1] == ["WT", "0.800", "0.900", "+0.1000", "+0.1000", "0.02"]
    assert lines[2] == ["TC", "0.700", "0.600", "-0.1000", "-0.1000", "0.02", "does", "not", "pass"]
    assert [line[0] for line in lines[1:]] == [*COMPARED, "calibration_error", "case_s"]
    assert lines[-2][1:] == ["0.01,", "limit", "0.05"]
    assert lines[-1][-3:] == ["does", "not", "pass"]
    assert verdict_table(verdict_of(table(a=0.9), None)) == ""


def test_the_best_champion_so_far_is_a_second_condition():
    rivals = [Rival("2", CHAMPION, table(a=0.79, b=0.69)), Rival("1", BEST, table(a=0.8, b=0.7))]
    new = table(a=0.785, b=0.685)
    verdict = judge(new, rivals, rules=make_rules(margin=0.02), measured={})
    assert verdict.promoted
    assert verdict.reason == (
        "no worse on 2 test cases: mean Dice -0.0050, lower bound -0.0050, margin 0.02;"
        " beside the best champion so far, version 1: mean Dice -0.0150, lower bound -0.0150, margin 0.02"
    )
    verdict = judge(new, rivals, rules=make_rules(margin=0.01), measured={}, remarks=["that is all"])
    assert not verdict.promoted
    first, *_, last = verdict.reason.split("; ")
    assert first.startswith("beside the best champion so far, version 1: WT Dice -0.0150")
    assert last == "that is all"
    lines = verdict_table(verdict).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("gate")] == ["champion", "best"]
    assert sum("does not pass" in line for line in lines) == 4  # beside the best alone


def test_margins_are_named_by_region():
    assert {name.upper() for name in Margin.model_fields} == {region.upper() for region in COMPARED}
