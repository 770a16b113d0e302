"""Statuses, outcomes and the JSON of given findings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glioseg.data.quality.expectations import Finding
from glioseg.data.quality.validation_report import ContractError, OnFailure, ValidationReport, build_report

BAD = Finding("two", "t2", "two_t2.nii.gz", "shape", "(2, 2, 2)", "(2, 2, 1)")
ALSO_BAD = Finding("one", "t1", "one_t1.nii.gz", "NaN", "0 voxels", "1 voxels")
UNLABELLED = Finding(
    "three", "seg", "three_seg.nii.gz", "segmentation", "a file for seg", "none", severity="info"
)
ODD = Finding("one", "t1", "one_t1.nii.gz", "range", "a range", "300 times more", severity="warning")
CASES = ("one", "two", "three")


def report_of(
    *findings: Finding, on_failure: OnFailure = "stop", cases: tuple[str, ...] = CASES
) -> ValidationReport:
    unlabelled = ["three"] if UNLABELLED in findings else []
    return build_report(
        "raw", cases=cases, findings=findings, volumes=[], on_failure=on_failure, unlabelled=unlabelled
    )


def test_only_critical_findings_refuse_and_cases_without_a_segmentation_are_for_prediction() -> None:
    report = report_of(BAD, UNLABELLED, ODD)
    assert report.cases == {"one": "accepted", "two": "refused", "three": "prediction_only"}
    assert (report.violations, report.warnings, report.notes) == ([BAD], [ODD], [UNLABELLED])


def test_a_case_without_a_segmentation_may_be_refused_too() -> None:
    bad = replace(BAD, case="three")
    assert report_of(bad, UNLABELLED).cases["three"] == "refused"


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
    assert report_of(*findings, on_failure=on_failure).outcome == outcome


def test_only_a_failure_raises_and_names_the_page() -> None:
    report_of(BAD, on_failure="quarantine").raise_if_failed(Path("pages"))
    with pytest.raises(ContractError, match=r"^1 of 3 cases refused; read pages$"):
        report_of(BAD).raise_if_failed(Path("pages"))


def test_quarantine_that_leaves_no_labelled_case_raises() -> None:
    report = report_of(BAD, ALSO_BAD, UNLABELLED, on_failure="quarantine")
    with pytest.raises(ContractError, match=r"^no case with a segmentation is left: 2 of 3 cases refused"):
        report.raise_if_failed(Path("pages"))


def test_a_cohort_for_prediction_alone_raises() -> None:
    with pytest.raises(ContractError, match="expected a case with a segmentation, got none among 1 cases"):
        report_of(UNLABELLED, cases=("three",)).raise_if_failed(Path("pages"))


def test_findings_have_the_order_of_the_cases_and_count_once() -> None:
    assert report_of(BAD, ALSO_BAD, BAD).violations == [ALSO_BAD, BAD]


def test_the_json(tmp_path: Path) -> None:
    report_of(BAD, cases=("one", "two")).save(tmp_path / "raw.json")
    assert json.loads((tmp_path / "raw.json").read_text()) == {
        "stage": "raw",
        "outcome": "failed",
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
        "near_duplicates": [],
        "unread_files": [],
        "volumes": [],
    }
