"""Segment one case of `glioseg predict`: write its files, and return its row of summary.csv.

It runs in the process of the command or on a worker of a cluster.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.core.fingerprint import sha256_file
from glioseg.core.labels import to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case, open_scans
from glioseg.data.quality.expectations import Finding
from glioseg.data.quality.validation_report import REFUSED
from glioseg.data.store.resampling import ResamplingError
from glioseg.models.inference.prediction import CaseModel, Prediction, RegionVolume, percent
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import check_scans

SEGMENTED = "segmented"
Row = dict[str, str]
"""A row of summary.csv, by column."""


@dataclass(frozen=True)
class CaseJob:
    """A case, and the files to write: the label map and, if requested, the entropy map."""

    case: Case
    files: Sequence[Path]


@dataclass(frozen=True)
class JobSettings:
    """The settings that all cases of a command share.

    `model`: the model's address; `facts`: everything besides the scans that a prediction depends on.
    """

    model: str
    contract: Contract
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Outcome:
    """The result of one case: its summary row, warnings, and a line with the volumes if it was segmented."""

    row: Row
    warnings: Sequence[str]
    line: str = ""

    @property
    def refused(self) -> bool:
        """Whether the case was rejected, by the contract or because it is too large to resample."""
        return self.row["status"] == REFUSED


def segment_case(job: CaseJob, *, model: CaseModel, settings: JobSettings) -> Outcome:
    """Segment a case and write its files, each completely or not at all; a second run writes the same bytes.

    Args:
        job: the case and its files.
        model: a loaded model, or one that is loaded when it is first called.
        settings: of all cases.

    Raises:
        GliosegError: a single window exceeds the memory budget; the message names the case.
    """
    start, case = time.monotonic(), job.case
    content_sha256 = input_sha256(case, settings.facts)
    checked = check_scans(case, open_scans(case, MODALITIES), settings.contract)
    findings = [finding for finding in checked.findings if finding.severity != "info"]
    warnings = [_warning(finding) for finding in findings]
    if checked.critical:
        return Outcome(refused_row(case, "; ".join(map(str, checked.critical))), warnings)
    try:
        prediction = checked.predict(model)
    except ResamplingError as error:  # smaller cases can still be segmented
        return Outcome(refused_row(case, str(error)), [*warnings, f"{case.case}: {error}"])
    except GliosegError as error:
        raise GliosegError(f"{case.case}: {error}") from None
    _write(prediction, job, checked.grid)
    row = segmented_row(
        case,
        prediction,
        model=settings.model,
        warnings=findings,
        seconds=time.monotonic() - start,
        content_sha256=content_sha256,
    )
    return Outcome(row, warnings, f"{case.case}: {job.files[0]}: {_one_line(prediction)}")


def input_sha256(case: Case, facts: Mapping[str, object]) -> str:
    """One hash of everything that the prediction of a case depends on: its files, and what segments them.

    Args:
        case: the names of its files count too, since they determine the label scheme.
        facts: the model, its settings, the code and what is written.
    """
    files = [(role, case.files[role]) for role in MODALITIES if role in case.files]
    digests = {path: _sha256(path) for _, path in files}
    scans = [[(role, path.name, digests[path]) for role, path in files], case.scheme.value, case.channels]
    return hashlib.sha256(repr([scans, sorted(facts.items())]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""  # reading a named pipe would block


def segmented_row(
    case: Case,
    prediction: Prediction,
    *,
    model: str,
    warnings: Sequence[Finding],
    seconds: float,
    content_sha256: str,
) -> Row:
    """The summary row of a segmented case.

    Args:
        case: the case.
        prediction: of the model for this case.
        model: the model's address.
        warnings: findings of the contract.
        seconds: time that the case took.
        content_sha256: from `input_sha256`.
    """
    numbers = {
        name: "" if value is None else f"{value:.6g}" for name, value in prediction.numeric_values.items()
    }
    return {
        "case": case.case,
        "status": SEGMENTED,
        "model": model,
        **numbers,
        "low_confidence_reasons": "; ".join(prediction.low_confidence_reasons),
        "calibrated_on": prediction.calibrated_on or "",
        "missing": " ".join(prediction.missing),
        "warnings": "; ".join(map(str, warnings)),
        "seconds": f"{seconds:.1f}",
        "input_sha256": content_sha256,
    }


def refused_row(case: Case, error: str) -> Row:
    """The summary row of a rejected case, with the reason."""
    return {"case": case.case, "status": REFUSED, "error": error}


def _warning(finding: Finding) -> str:
    return f"warning: {finding}" if finding.severity == "warning" else str(finding)


def _write(prediction: Prediction, job: CaseJob, grid: Grid) -> None:
    arrays = (to_scheme(prediction.labels, job.case.scheme), prediction.entropy_bits)
    for file, array in zip(job.files, arrays, strict=False):
        write_volume(file, Volume(array, grid))


def _one_line(prediction: Prediction) -> str:
    """Volumes, grade and survival if predicted, missing modalities, and reasons for low confidence."""
    basis = ", synthetic" if prediction.calibrated_on == "synthetic" else ""
    parts = [_in_ml(name, volume, basis) for name, volume in prediction.volumes.items()]
    if prediction.grade_lgg is not None:
        parts.append(f"low grade {prediction.grade_lgg:.0%}")
    if prediction.survival_days is not None:
        parts.append(f"survival {prediction.survival_days:.0f} days")
    if prediction.missing:
        parts.append(f"missing {' and '.join(prediction.missing)}")
    if prediction.low_confidence_reasons:
        parts.append(f"low confidence: {'; '.join(prediction.low_confidence_reasons)}")
    return ", ".join(parts)


def _in_ml(name: str, volume: RegionVolume, basis: str) -> str:
    if volume.ml is None:
        return f"{name} {volume.reason}"
    if volume.level is None:
        return f"{name} {volume.ml:.1f} ml"
    ends = f"{volume.low_ml:.1f} to {volume.high_ml:.1f}"
    return f"{name} {volume.ml:.1f} ml ({percent(volume.level)} interval {ends}{basis})"
