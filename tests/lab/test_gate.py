import pandas as pd
import pytest

from glioseg.lab.gate import GateError, judge


def table(**dice):
    """Cases with one Dice for all three regions."""
    rows = [{"case": c, "dice_wt": d, "dice_tc": d, "dice_et": d} for c, d in dice.items()]
    return pd.DataFrame(rows)


def test_the_difference_is_paired_by_case_and_not_by_row():
    new = table(a=0.9, b=0.6)
    standing = table(b=0.5, a=0.8)
    verdict = judge(new, standing, margin=0)
    assert verdict.difference == pytest.approx(0.1)
    assert verdict.promoted


def test_regions_count_alike():
    new = pd.DataFrame([{"case": "a", "dice_wt": 0.9, "dice_tc": 0.6, "dice_et": 0.3}])  # mean 0.6
    assert judge(new, table(a=0.5), margin=0).difference == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("ours", "margin", "promoted"),
    [(0.70, 0.0, True), (0.69, 0.0, False), (0.69, 0.01, True), (0.68, 0.01, False), (0.71, 0.0, True)],
)
def test_it_may_lose_the_margin_and_no_more(ours, margin, promoted):
    assert judge(table(a=ours), table(a=0.7), margin=margin).promoted is promoted


def test_other_cases_are_an_error():
    with pytest.raises(GateError, match=r"same test cases.*'b'.*'c'"):
        judge(table(a=1, b=1), table(a=1, c=1), margin=0)


def test_the_reason_says_what_was_compared():
    verdict = judge(table(a=0.9, b=0.4), table(a=0.8, b=0.6), margin=0.1)
    assert verdict.reason == "mean Dice -0.0500 on 2 test cases (1 worse), margin 0.1"
