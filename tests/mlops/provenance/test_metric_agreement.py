import numpy as np
import pandas as pd
import pytest

from glioseg.mlops.provenance.metric_agreement import EvaluationNumbers, compare, difference_table

EXACTLY = "the metrics agree exactly"


def numbers(dice=(0.8, 0.6), metrics=None, cases=("a", "b"), **more):
    columns = {f"dice_{region}": list(dice) for region in ("wt", "tc", "et")} | more
    return EvaluationNumbers(pd.DataFrame(columns, index=pd.Index(cases, name="case")), metrics or {})


def compared(then, now, *, reasons=(), retrained=False):
    found = compare(then, now, reasons=reasons, retrained=retrained)
    return found.agrees, found.message


def test_equal_numbers_agree_exactly_also_where_both_are_nan():
    one = numbers(survival_days=[np.nan, 400.0])
    assert compared(one, numbers(survival_days=[np.nan, 400.0])) == (True, EXACTLY)


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (numbers((0.8, 0.6 + 1e-15)), "dice_wt of b: 0.6 then, 0.600000000000001 now"),
        (
            numbers(metrics={"dice": {"WT": {"low": 1}}}),
            "metrics.json: dice: None then, {'WT': {'low': 1}} now",
        ),
        (numbers(cases=("a", "c")), "only one table has b, c"),
        (numbers(extra=[1, 2]), "only one table has extra"),
    ],
)
def test_on_the_same_machine_any_difference_is_named(now, line):
    assert compared(numbers(), now) == (False, f"the metrics differ: {line}")


def test_the_first_different_metric_is_named_by_its_path():
    then, now = ({"dice": {"WT": {"low": low, "high": 1}}, "cases": 2} for low in (0.1, 0.2))
    message = "the metrics differ: metrics.json: dice/WT/low: 0.1 then, 0.2 now"
    assert compared(numbers(metrics=then), numbers(metrics=now)) == (False, message)


@pytest.mark.parametrize(("gap", "agrees"), [(0.0, True), (0.0078125, True), (0.015625, False)])
def test_on_another_machine_a_case_may_differ_by_the_tolerance(gap, agrees):
    found, line = compared(numbers((0.5, 0.5)), numbers((0.5, 0.5 + gap)), reasons=["another machine"])
    assert found is agrees
    expected = (
        EXACTLY if not gap else f"agree within 0.01 in Dice per case (the largest difference is {gap:.2g})"
    )
    assert agrees is False or expected in line


def test_after_a_new_training_on_another_machine_the_means_are_compared():
    then, reasons = numbers((0.5, 0.5)), ["another machine"]
    assert compared(then, numbers((0.25, 0.75)), reasons=reasons, retrained=True)[0]
    agrees, line = compared(then, numbers((0.5, 0.75)), reasons=reasons, retrained=True)
    assert not agrees
    assert line.startswith("the metrics differ by 0.12 in mean Dice, more than 0.05: dice_wt of b: 0.5 then")


def test_different_cases_never_agree():
    assert compared(numbers(), numbers(cases=("a", "c")), reasons=["another machine"])[0] is False


def test_the_table_shows_both_means_and_the_largest_difference():
    lines = difference_table(numbers((0.5, 0.75)), numbers((0.5, 0.25))).splitlines()
    assert [line.split() for line in lines[1:]] == [
        [r, "0.6250", "0.3750", "0.5"] for r in ("WT", "TC", "ET")
    ]
    assert difference_table(numbers(), numbers(cases=("a", "c"))).splitlines()[1].split()[-1] == "-"


def test_numbers_are_read_to_the_last_digit(tmp_path):
    value = 0.1 + 0.2
    (tmp_path / "per_case.csv").write_text(f"case,dice_wt\n007,{value!r}\n")
    (tmp_path / "metrics.json").write_text('{"cases": 1}')
    read = EvaluationNumbers.read(tmp_path)
    assert read.table.loc["007", "dice_wt"] == value
    assert read.metrics == {"cases": 1}
