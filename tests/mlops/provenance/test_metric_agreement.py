import numpy as np
import pandas as pd
import pytest

from glioseg.mlops.provenance.metric_agreement import Numbers, compare, gap_table

EXACTLY = "the metrics agree exactly"


def numbers(dice=(0.8, 0.6), metrics=None, cases=("a", "b"), **more):
    columns = {f"dice_{region}": list(dice) for region in ("wt", "tc", "et")} | more
    return Numbers(pd.DataFrame(columns, index=pd.Index(cases, name="case")), metrics or {})


def judge(then, now, *, reasons=(), retrained=False):
    found = compare(then, now, reasons=reasons, retrained=retrained)
    return found.agrees, found.line


def test_the_same_numbers_agree_exactly_also_where_they_are_none():
    one = numbers(survival_days=[np.nan, 400.0])
    assert judge(one, numbers(survival_days=[np.nan, 400.0])) == (True, EXACTLY)


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (numbers((0.8, 0.6 + 1e-15)), "dice_wt of b: 0.6 then, 0.600000000000001 now"),
        (
            numbers(metrics={"dice": {"WT": {"low": 1}}}),
            "metrics.json: dice: None then, {'WT': {'low': 1}} now",
        ),
        (numbers(cases=("a", "c")), "one table alone has b, c"),
        (numbers(extra=[1, 2]), "one table alone has extra"),
    ],
)
def test_on_the_same_machine_any_difference_is_named(now, line):
    assert judge(numbers(), now) == (False, f"the metrics differ: {line}")


def test_the_first_different_metric_is_named_by_its_path():
    then, now = ({"dice": {"WT": {"low": low, "high": 1}}, "cases": 2} for low in (0.1, 0.2))
    line = "the metrics differ: metrics.json: dice/WT/low: 0.1 then, 0.2 now"
    assert judge(numbers(metrics=then), numbers(metrics=now)) == (False, line)


@pytest.mark.parametrize(("gap", "agrees"), [(0.0, True), (0.0078125, True), (0.015625, False)])
def test_on_another_machine_a_case_may_differ_by_the_tolerance(gap, agrees):
    found, line = judge(numbers((0.5, 0.5)), numbers((0.5, 0.5 + gap)), reasons=["another machine"])
    assert found is agrees
    expected = EXACTLY if not gap else f"agree within 0.01 Dice a case (the largest difference is {gap:.2g})"
    assert agrees is False or expected in line


def test_trained_again_on_another_machine_the_means_count():
    then, reasons = numbers((0.5, 0.5)), ["another machine"]
    assert judge(then, numbers((0.25, 0.75)), reasons=reasons, retrained=True)[0]
    agrees, line = judge(then, numbers((0.5, 0.75)), reasons=reasons, retrained=True)
    assert not agrees
    assert line.startswith("the metrics differ by 0.12 Dice a mean, more than 0.05: dice_wt of b: 0.5 then")


def test_other_cases_are_excused_by_no_machine():
    assert judge(numbers(), numbers(cases=("a", "c")), reasons=["another machine"])[0] is False


def test_the_table_shows_both_means_and_the_largest_difference():
    lines = gap_table(numbers((0.5, 0.75)), numbers((0.5, 0.25))).splitlines()
    assert [line.split() for line in lines[1:]] == [
        [r, "0.6250", "0.3750", "0.5"] for r in ("WT", "TC", "ET")
    ]
    assert gap_table(numbers(), numbers(cases=("a", "c"))).splitlines()[1].split()[-1] == "-"


def test_numbers_are_read_to_the_last_digit(tmp_path):
    value = 0.1 + 0.2
    (tmp_path / "per_case.csv").write_text(f"case,dice_wt\n007,{value!r}\n")
    (tmp_path / "metrics.json").write_text('{"cases": 1}')
    read = Numbers.read(tmp_path)
    assert read.table.loc["007", "dice_wt"] == value
    assert read.metrics == {"cases": 1}
