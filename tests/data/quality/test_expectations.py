"""`evaluate_table` finds the same as Great Expectations, for every kind of expectation."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from glioseg.data.quality import gx_validation
from glioseg.data.quality.expectations import (
    VIOLATIONS,
    Finding,
    Table,
    absent,
    between,
    equal,
    evaluate_table,
    one_of,
    only_labels,
    present,
    unique,
)

TEXTS = {"expected": "good", "observed": "bad"}
EXPECTATIONS = [
    absent("absent", "text", **TEXTS),
    replace(absent("absent, an info", "text", **TEXTS), severity="info"),
    present("present", "text", **TEXTS),
    present("present here", "text", **TEXTS, where=("readable", True)),
    unique("unique", "number", **TEXTS),
    one_of("one of", "text", ["a", "b"], **TEXTS),
    between("low", "number", **TEXTS, min_value=2),
    between("high", "number", **TEXTS, max_value=3.5),
    between("within", "number", **TEXTS, min_value=1, max_value=4),
    between("above", "number", **TEXTS, min_value=1, strict_min=True),
    equal("equal", "text", "other", expected="{other}"),
    only_labels("labels", "labels", (0, 1, 2, 4), expected="labels"),
    only_labels("labels here", "labels", (0, 1), expected="labels", where=("text", "a")),
]


def test_both_evaluations_find_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def any_of(*values: object) -> object:
        return values[rng.integers(len(values))]

    rows = [
        {
            "case": f"case{number}",
            "role": "t1",
            "file": "file",
            "readable": any_of(True, False),
            "text": any_of("a", "b", "c", None),
            "other": any_of("a", "b", None),
            "number": any_of(None, 1, 2, 3.5, 4, 4.5, float("inf"), number + 10, number + 100),
            "labels": any_of("0", "0, 1", "0, 1, 2, 4", "0, 0.5", "0, 1, 7", "-1, 0", "", None),
        }
        for number in range(120)
    ]
    table = Table("random", rows, EXPECTATIONS)
    own = list(evaluate_table(table))
    assert {expectation.kind for expectation in EXPECTATIONS} == set(VIOLATIONS)
    assert {finding.expectation for finding in own} == {expectation.name for expectation in EXPECTATIONS}
    assert sorted(map(repr, gx_validation.evaluate([table], "raw", tmp_path))) == sorted(map(repr, own))


BAD_SHAPE = Finding("two", "t2", "two_t2.nii.gz", "shape", "(2, 2, 2)", "(2, 2, 1)")


def test_a_finding_is_one_line() -> None:
    assert str(BAD_SHAPE) == "two/t2 (two_t2.nii.gz): shape: expected (2, 2, 2), got (2, 2, 1)"


def test_a_brief_finding_gives_the_rule_and_the_field() -> None:
    expected = {"rule": "shape", "field": "t2", "severity": "critical"}
    assert BAD_SHAPE.brief == expected | {"message": "expected (2, 2, 2), got (2, 2, 1)"}
