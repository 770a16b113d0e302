"""The benchmark of few cases: which trainings there are, and the tables made of their scores."""

from itertools import pairwise

import pandas as pd
import pytest
from bench.few_shot_design import METHODS, Training, deal, design
from bench.few_shot_scores import COLUMNS, Scores, counted_cases, key, missing, points, tables

RANKED = [f"case_{letter}" for letter in "abcdefghijklm"]
TRAININGS = design(RANKED, sizes=(1, 2, 4, 8, 12), folds=3)
CONDITIONS = {method: {"minutes": 15.0, "settings": "s"} for method in METHODS}


def trainings_of(method: str, cases: int) -> list[Training]:
    return [t for t in TRAININGS if t.method == method and len(t.cases) == cases]


def test_no_training_has_seen_a_test_case_of_its_own():
    for training in TRAININGS:
        assert not set(training.cases) & set(training.tests), training.name
        assert len(set(training.cases)) == len(training.cases)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cases", [1, 2, 4, 8, 12])
def test_each_case_is_a_test_case_once_for_each_method_and_number(method, cases):
    tested = [case for training in trainings_of(method, cases) for case in training.tests]
    assert sorted(tested) == RANKED


def test_fewer_cases_are_a_part_of_more_for_each_test_case():
    for case in RANKED:
        seen = [t.cases for t in TRAININGS if t.method == "builtin" and case in t.tests]
        by_number = sorted(seen, key=len)
        assert [len(cases) for cases in by_number] == [0, 1, 2, 4, 8, 12]
        for fewer, more in pairwise(by_number):
            assert more[: len(fewer)] == fewer


def test_all_methods_learn_from_the_same_cases():
    by_place = {}
    for training in TRAININGS[1:]:
        by_place.setdefault(training.name.rsplit("_", 1)[0], []).append((training.cases, training.tests))
    for trainings in by_place.values():
        assert len(trainings) == 4
        assert len(set(trainings)) == 1


def test_thirteen_cases_take_one_start_and_25_trainings_of_each_method():
    """Three folds of four numbers, and thirteen times one case left out."""
    assert len(TRAININGS) == 1 + 4 * (3 * 4 + 13)
    assert len({training.name for training in TRAININGS}) == len(TRAININGS)


def test_the_first_fold_is_complete_before_the_second_begins():
    assert TRAININGS[0].name == "n00_builtin"
    names = [training.name for training in TRAININGS if training.method == "nnunet"]
    fold_a = [f"n12_{case}_nnunet" for case in deal(RANKED, 3)[0]]
    whole = [f"n{number:02d}_fold1_nnunet" for number in (8, 1, 4, 2)]
    assert names[:9] == [*whole, *fold_a]
    assert names[9] == "n08_fold2_nnunet"


def test_numbers_that_leave_no_test_case_are_skipped():
    numbers = {len(training.cases) for training in design(RANKED[:5], sizes=(1, 2, 4, 8), folds=2)}
    assert numbers == {0, 1, 2, 4}


def row(case: str, wt: float, tc: float, et: float, seconds: float = 900.0) -> dict:
    dice = {"dice_wt": wt, "dice_tc": tc, "dice_et": et}
    return {"case": case, **dice, "seconds": seconds, "steps": 300, "processor": "p"}


@pytest.fixture
def scores(tmp_path):
    return Scores(tmp_path / "few_shot.csv")


SMALL = design(["a", "b", "c"], sizes=(1,), folds=3)
"""Three folds of one case each."""


def of(name: str) -> Training:
    return next(training for training in SMALL if training.name == name)


def test_scores_are_found_again_and_replaced(scores):
    start, first = of("n00_builtin"), of("n01_fold1_builtin")
    scores.add(start, CONDITIONS, [row("a", 0.5, 0.5, 0.5), row("b", 0.5, 0.5, 0.5)])
    scores.add(first, CONDITIONS, [row("a", 0.1, 0.1, 0.1)])
    scores.add(first, CONDITIONS, [row("a", 0.9, 0.6, 0.3)])
    found = scores.of(SMALL, CONDITIONS)
    assert list(found.columns) == COLUMNS
    assert found[["training", "case", "dice_wt"]].to_numpy().tolist() == [
        ["n00_builtin", "a", 0.5],
        ["n00_builtin", "b", 0.5],
        ["n01_fold1_builtin", "a", 0.9],
    ]
    assert missing(found, SMALL) == [t for t in SMALL if t not in (start, first)]


def test_longer_trainings_do_not_replace_shorter_ones(scores):
    training = of("n01_fold1_builtin")
    longer = {method: {"minutes": 60.0, "settings": "s"} for method in METHODS}
    scores.add(training, CONDITIONS, [row("a", 0.5, 0.5, 0.5)])
    scores.add(training, longer, [row("a", 0.9, 0.9, 0.9)])
    assert scores.of(SMALL, CONDITIONS)["dice_wt"].tolist() == [0.5]
    assert scores.of(SMALL, longer)["dice_wt"].tolist() == [0.9]


@pytest.mark.parametrize("change", [{"minutes": 20.0}, {"settings": "other"}])
def test_a_training_under_other_conditions_is_missing(scores, change):
    training = of("n01_fold1_builtin")
    scores.add(training, CONDITIONS, [row("a", 0.5, 0.5, 0.5)])
    other = CONDITIONS | {"builtin": CONDITIONS["builtin"] | change}
    assert training in missing(scores.of(SMALL, other), SMALL)


def test_a_training_on_other_cases_has_another_key():
    mine, other = (Training("builtin", 1, cases, ("t",)) for cases in (("a",), ("b",)))
    assert mine.name == other.name
    assert key(mine, CONDITIONS) != key(other, CONDITIONS)


def test_the_start_does_not_depend_on_the_minutes():
    start = of("n00_builtin")
    longer = {method: {"minutes": 60.0, "settings": "s"} for method in METHODS}
    assert key(start, CONDITIONS) == key(start, longer)


def test_the_cases_of_finished_folds_count_and_all_before_there_is_one(scores):
    scores.add(of("n00_builtin"), CONDITIONS, [row(case, 0.5, 0.5, 0.5) for case in "abc"])
    assert counted_cases(scores.of(SMALL, CONDITIONS), SMALL) == {"a", "b", "c"}
    for method in METHODS:
        training = of(f"n01_fold1_{method}")
        (case,) = training.tests
        scores.add(training, CONDITIONS, [row(case, 0.5, 0.5, 0.5)])
    assert counted_cases(scores.of(SMALL, CONDITIONS), SMALL) == {case}


def test_tables_have_the_means_of_the_counted_cases_and_paired_differences():
    """Means over the regions: from the built-in model 0.6 and 0.8; from scratch 0.5 and 0.3."""
    shared = {"trained_on": "x", "minutes": 15.0, "settings": "s", "cases": 1, "fold": 1}
    made = [
        {"training": "n01_fold1_builtin", "method": "builtin", **row("a", 0.9, 0.6, 0.3)},
        {"training": "n01_fold1_builtin", "method": "builtin", **row("b", 1.0, 0.8, 0.6)},
        {"training": "n01_fold1_builtin", "method": "builtin", **row("not counted", 0.0, 0.0, 0.0)},
        {"training": "n01_fold1_scratch", "method": "scratch", **row("a", 0.7, 0.5, 0.3, seconds=600.0)},
        {"training": "n01_fold1_scratch", "method": "scratch", **row("b", 0.6, 0.3, 0.0, seconds=600.0)},
    ]
    table = pd.DataFrame([{**shared, **one} for one in made])[COLUMNS]
    overview, builtin, scratch = tables(table, {"a", "b"})
    assert overview == {
        "real cases": 1,
        "glioseg from the built-in model": "0.700 (0.600 to 0.800)",
        "glioseg from scratch": "0.400 (0.300 to 0.500)",
        "MONAI SegResNet": "",
        "nnU-Net v2": "",
    }
    assert builtin["test cases"] == scratch["test cases"] == 2
    assert scratch["trainings"] == 1
    assert [builtin[region] for region in ("WT", "TC", "ET")] == pytest.approx([0.95, 0.7, 0.45])
    assert (builtin["minutes"], scratch["minutes"]) == (15.0, 10.0)
    assert builtin["the built-in model's lead"] == ""
    assert scratch["the built-in model's lead"] == "+0.300 (+0.100 to +0.500)"


def test_a_point_of_the_picture_has_all_test_cases(scores):
    scores.add(of("n00_builtin"), CONDITIONS, [row(case, 0.5, 0.5, 0.5) for case in "abc"])
    scores.add(of("n01_fold1_builtin"), CONDITIONS, [row("a", 0.9, 0.9, 0.9)])
    found = points(scores.table(), {"a", "b", "c"}, "builtin")
    assert {number: point.mean for number, point in found.items()} == {0: 0.5}
    assert list(points(scores.table(), {"a"}, "builtin")) == [0, 1]
    assert points(scores.table(), {"a"}, "nnunet") == {}
