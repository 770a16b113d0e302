"""Statuses, outcomes and the JSON, from findings that are given."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glioseg.data.quality.validation_report import ContractError, Finding, OnFailure, Verdict, judge

BAD = Finding("two", "t2", "two_t2.nii.gz", "shape", "(2, 2, 2)", "(2, 2, 1)")
ALSO_BAD = Finding("one", "t1", "one_t1.nii.gz", "NaN", "0 voxels", "1 voxels")
UNLABELLED = Finding(
    "three", "seg", "three_seg.nii.gz", "segmentation", "a file for seg", "none", severity="info"
)
ODD = Finding("one", "t1", "one_t1.nii.gz", "range", "a range", "300 times more", severity="warning")
CASES = ("one", "two", "three")


def given(*findings: Finding, on_failure: OnFailure = "stop", cases: tuple[str, ...] = CASES) -> Verdict:
    unlabelled = ["three"] if UNLABELLED in findings else []
    return judge(
        "raw", cases=cases, findings=findings, volumes=[], on_failure=on_failure, unlabelled=unlabelled
    )


def test_only_what_is_critical_refuses_and_without_a_segmentation_a_case_is_for_prediction() -> None:
    verdict = given(BAD, UNLABELLED, ODD)
    assert verdict.cases == {"one": "accepted", "two": "refused", "three": "prediction_only"}
    assert (verdict.violations, verdict.warnings, verdict.notes) == ([BAD], [ODD], [UNLABELLED])


def test_a_case_without_a_segmentation_may_be_refused_too() -> None:
    spoiled = replace(BAD, case="three")
    assert given(spoiled, UNLABELLED).cases["three"] == "refused"


@pytest.mark.parametrize(
    ("findings", "on_failure", "outcome"),
    [
        ((), "stop", "passed"),
        ((), "quarantine", "passed"),
        ((UNLABELLED,), "stop", "passed"),
        ((BAD,), "stop", "failed"),
        ((BAD,), "quarantine", "quarantined"),
        ((BAD, ALSO_BAD, UNLABELLED), "quarantine", "failed"),
    ],
)
def test_outcomes(findings: tuple[Finding, ...], on_failure: OnFailure, outcome: str) -> None:
    assert given(*findings, on_failure=on_failure).outcome == outcome


def test_only_a_failure_raises_and_it_says_where_to_read_on() -> None:
    given(BAD, on_failure="quarantine").require(Path("pages"))
    with pytest.raises(ContractError, match=r"^1 of 3 cases refused; read pages$"):
        given(BAD).require(Path("pages"))


def test_quarantine_that_leaves_no_labelled_case_raises() -> None:
    verdict = given(BAD, ALSO_BAD, UNLABELLED, on_failure="quarantine")
    with pytest.raises(ContractError, match=r"^no case with a segmentation is left: 2 of 3 cases refused"):
        verdict.require(Path("pages"))


def test_a_cohort_for_prediction_alone_raises() -> None:
    with pytest.raises(ContractError, match="expected a case with a segmentation, got none among 1 cases"):
        given(UNLABELLED, cases=("three",)).require(Path("pages"))


def test_findings_follow_the_cases_and_count_once() -> None:
    assert given(BAD, ALSO_BAD, BAD).violations == [ALSO_BAD, BAD]


def test_a_finding_is_one_line() -> None:
    assert str(BAD) == "two/t2 (two_t2.nii.gz): shape: expected (2, 2, 2), got (2, 2, 1)"


def test_who_sent_a_case_is_told_the_rule_and_the_file_at_fault() -> None:
    expected = {"rule": "shape", "field": "t2", "severity": "critical"}
    assert BAD.brief == expected | {"message": "expected (2, 2, 2), got (2, 2, 1)"}


def test_the_json(tmp_path: Path) -> None:
    given(BAD, cases=("one", "two")).save(tmp_path / "raw.json")
    assert json.loads((tmp_path / "raw.json").read_text()) == {
        "stage": "raw",
        "verdict": "failed",
        "on_failure": "stop",
        "cases": {"one": {"status": "accepted"}, "two": {"status": "refused"}},
        "violations": [
            {
                "case": "two",
                "role": "t2",
                "file": "two_t2.nii.gz",
                "expectation": "shape",
                "expected": "(2, 2, 2)",
                "observed": "(2, 2, 1)",
            }
        ],
        "warnings": [],
        "notes": [],
        "alike": [],
        "volumes": [],
    }
