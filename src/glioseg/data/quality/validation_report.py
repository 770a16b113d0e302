"""What a validation concluded: the status of every case, and each violation with its cause."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_whole
from glioseg.params.contract import Severity

ACCEPTED, PREDICTION_ONLY, REFUSED = "accepted", "prediction_only", "refused"
OnFailure = Literal["stop", "quarantine"]


class ContractError(GliosegError):
    """Data that the pipeline must not go on with; the message says how many cases and where to read more."""


@dataclass(frozen=True)
class Finding:
    """One expectation that one file of one case does not meet.

    `severity`: critical refuses the case, warning and info do not.
    """

    case: str
    role: str
    file: str
    expectation: str
    expected: str
    observed: str
    severity: Severity = "critical"

    @property
    def message(self) -> str:
        """What was expected and what came."""
        return f"expected {self.expected}, got {self.observed}"

    @property
    def brief(self) -> dict[str, str]:
        """What is told of one case to who sent it: the rule, the file at fault, how much it weighs."""
        return {
            "rule": self.expectation,
            "field": self.role,
            "severity": self.severity,
            "message": self.message,
        }

    def __str__(self) -> str:
        where = f"{self.case}/{self.role}" if self.role else self.case
        file = f" ({self.file})" if self.file else ""
        return f"{where}{file}: {self.expectation}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one validation.

    `cases` maps a case to its status; `violations`, `warnings` and `notes` are the findings that are
    critical, warnings and infos; `volumes` is the measured table; `alike` are pairs of cases with nearly
    the same image, which a split must not part.
    """

    stage: str
    on_failure: OnFailure
    cases: dict[str, str]
    violations: list[Finding]
    warnings: list[Finding]
    notes: list[Finding]
    volumes: list[dict[str, object]]
    alike: Sequence[tuple[str, str]] = ()

    @property
    def outcome(self) -> Literal["passed", "failed", "quarantined"]:
        """Whether the pipeline goes on: with all cases, not at all, or without the refused ones."""
        if ACCEPTED not in self.cases.values():
            return "failed"
        if not self.violations:
            return "passed"
        return "quarantined" if self.on_failure == "quarantine" else "failed"

    def named(self, status: str) -> list[str]:
        """The cases of one status."""
        return [case for case, its in self.cases.items() if its == status]

    def save(self, path: Path) -> None:
        """Write the verdict as JSON; the same data always gives the same bytes."""
        record = {
            "stage": self.stage,
            "verdict": self.outcome,
            "on_failure": self.on_failure,
            "cases": {case: {"status": status} for case, status in self.cases.items()},
            "violations": [_record(finding) for finding in self.violations],
            "warnings": [_record(finding) for finding in self.warnings],
            "notes": [_record(finding) for finding in self.notes],
            "alike": self.alike,
            "volumes": self.volumes,
        }
        write_whole(path, json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")

    def require(self, read_more: Path) -> None:
        """Let the pipeline go on, or stop it.

        Args:
            read_more: the page that an error points to.

        Raises:
            ContractError: the outcome is "failed".
        """
        if self.outcome != "failed":
            return
        refused = len(self.named(REFUSED))
        if not refused:
            raise ContractError(
                f"expected a case with a segmentation, got none among {len(self.cases)} cases"
            )
        left = "" if self.named(ACCEPTED) else "no case with a segmentation is left: "
        raise ContractError(f"{left}{refused} of {len(self.cases)} cases refused; read {read_more}")


def judge(
    stage: str,
    *,
    cases: Iterable[str],
    findings: Iterable[Finding],
    volumes: list[dict[str, object]],
    on_failure: OnFailure,
    unlabelled: Collection[str] = (),
    alike: Sequence[tuple[str, str]] = (),
) -> Verdict:
    """Give every case its status.

    Args:
        stage: what was validated: "raw" or "cropped".
        cases: every case's name, in the order of the report.
        findings: what was found, in any order; what is found twice counts once.
        volumes: the measured table, one record a row.
        on_failure: whether the pipeline stops, or goes on without the bad cases.
        unlabelled: the cases that have no segmentation.
        alike: pairs of cases with nearly the same image.
    """
    names = list(dict.fromkeys(cases))
    order = {name: index for index, name in enumerate(names)}
    found = sorted(dict.fromkeys(findings), key=lambda f: (order[f.case], f.file))
    violations, warnings, notes = (
        [finding for finding in found if finding.severity == severity]
        for severity in ("critical", "warning", "info")
    )
    good = {name: PREDICTION_ONLY if name in unlabelled else ACCEPTED for name in names}
    statuses = good | {violation.case: REFUSED for violation in violations}
    return Verdict(stage, on_failure, statuses, violations, warnings, notes, volumes, alike)


def _record(finding: Finding) -> dict[str, object]:
    record = asdict(finding)
    del record["severity"]
    return record
