"""The report of a validation: the status of every case, and every finding."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.data.cohort.clinical import first_few
from glioseg.data.cohort.unread import Unread
from glioseg.data.quality.expectations import Finding

ACCEPTED, PREDICTION_ONLY, REFUSED = "accepted", "prediction_only", "refused"
OnFailure = Literal["stop", "quarantine"]


class ContractError(GliosegError):
    """Data that stops the pipeline; the message gives the number of cases and the page with the findings."""


@dataclass(frozen=True)
class ValidationReport:
    """The outcome of one validation.

    `cases` maps a case to its status; `violations`, `warnings` and `notes` are the findings of severity
    critical, warning and info; `volumes` is the table of statistics; `near_duplicates` are pairs of
    cases, which a split must keep in one part; `unread_files` are the files of the user's folder that belong
    to no case, each with the reason.
    """

    stage: str
    on_failure: OnFailure
    cases: dict[str, str]
    violations: list[Finding]
    warnings: list[Finding]
    notes: list[Finding]
    volumes: list[dict[str, object]]
    near_duplicates: Sequence[tuple[str, str]] = ()
    unread_files: Sequence[Unread] = ()

    @property
    def outcome(self) -> Literal["passed", "failed", "quarantined"]:
        """Passed: continue with all cases; failed: stop; quarantined: continue without the refused cases."""
        if ACCEPTED not in self.cases.values():
            return "failed"
        if not self.violations:
            return "passed"
        return "quarantined" if self.on_failure == "quarantine" else "failed"

    def cases_with(self, status: str) -> list[str]:
        """The cases with this status."""
        return [case for case, own in self.cases.items() if own == status]

    def save(self, path: Path) -> None:
        """Write the report as JSON; the same data always gives the same bytes."""
        record = {
            "stage": self.stage,
            "outcome": self.outcome,
            "on_failure": self.on_failure,
            "cases": {case: {"status": status} for case, status in self.cases.items()},
            "violations": [_to_json(finding) for finding in self.violations],
            "warnings": [_to_json(finding) for finding in self.warnings],
            "notes": [_to_json(finding) for finding in self.notes],
            "near_duplicates": self.near_duplicates,
            "unread_files": [{"file": str(item), "reason": item.reason} for item in self.unread_files],
            "volumes": self.volumes,
        }
        write_atomic(path, json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")

    def raise_if_failed(self, page: Path) -> None:
        """Stop the pipeline if the outcome is "failed".

        Args:
            page: page with the findings, which the message names.

        Raises:
            ContractError: the outcome is "failed".
        """
        if self.outcome != "failed":
            return
        refused = len(self.cases_with(REFUSED))
        if not refused:
            raise ContractError(
                f"expected a case with a segmentation, got none among {len(self.cases)} cases"
            )
        left = "" if self.cases_with(ACCEPTED) else "no case with a segmentation is left: "
        raise ContractError(f"{left}{refused} of {len(self.cases)} cases refused; read {page}")


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """One line for each finding, and one for what is found in several cases, such as a wrong label scheme."""
    cases: dict[Finding, list[str]] = {}
    for finding in findings:
        shared = finding if finding.role else replace(finding, case="")
        cases.setdefault(shared, []).append(finding.case)
    return [str(replace(shared, case=first_few(own))) for shared, own in cases.items()]


def build_report(
    stage: str,
    *,
    cases: Iterable[str],
    findings: Iterable[Finding],
    volumes: list[dict[str, object]],
    on_failure: OnFailure,
    unlabelled: Collection[str] = (),
    near_duplicates: Sequence[tuple[str, str]] = (),
    unread_files: Sequence[Unread] = (),
) -> ValidationReport:
    """The report of a validation, with a status for every case.

    Args:
        stage: the validated data: "raw" or "cropped".
        cases: names of all cases, in the order of the report.
        findings: in any order; repeated findings count once.
        volumes: the table of statistics, one record per row.
        on_failure: whether the pipeline stops, or continues without the refused cases.
        unlabelled: the cases without a segmentation.
        near_duplicates: pairs of near-duplicate cases.
        unread_files: files of the user's folder that belong to no case.
    """
    names = list(dict.fromkeys(cases))
    order = {name: index for index, name in enumerate(names)}
    distinct = sorted(dict.fromkeys(findings), key=lambda f: (order[f.case], f.file))
    violations, warnings, notes = (
        [finding for finding in distinct if finding.severity == severity]
        for severity in ("critical", "warning", "info")
    )
    without_violations = {name: PREDICTION_ONLY if name in unlabelled else ACCEPTED for name in names}
    statuses = without_violations | {violation.case: REFUSED for violation in violations}
    return ValidationReport(
        stage, on_failure, statuses, violations, warnings, notes, volumes, near_duplicates, unread_files
    )


def _to_json(finding: Finding) -> dict[str, object]:
    record = asdict(finding)
    del record["severity"]
    return record
