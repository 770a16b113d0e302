"""Segment one case of `glioseg predict`: write its files, and return its row of summary.csv.

It runs in the process of the command or on a worker of a cluster.
"""

import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO, StringIO
from pathlib import Path

from glioseg.api.segmentation import RejectedCaseError, Segmentation, segment_scans
from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.core.fingerprint import sha256_file
from glioseg.core.labels import from_detected_scheme
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case, open_scans
from glioseg.data.quality.expectations import Finding
from glioseg.data.quality.validation_report import REFUSED
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion_matrix
from glioseg.models.inference.prediction import CaseModel, Prediction, RegionVolume, percent
from glioseg.params.contract import Contract

SEGMENTED = "segmented"
Row = dict[str, str]
"""A row of summary.csv, by column."""


class Product(StrEnum):
    """A file that is written for each case."""

    LABELS = "labels"
    ENTROPY = "entropy"
    STATISTICS_JSON = "statistics_json"
    STATISTICS_CSV = "statistics_csv"
    PREVIEW = "preview"


@dataclass(frozen=True)
class CaseJob:
    """A case, and the files to write."""

    case: Case
    files: Mapping[Product, Path]


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
    """The result of one case.

    `row`: of the summary; `warnings`: lines for the user, `infos`: those that only a verbose command prints;
    `line`: volumes and, if known, Dice; `statistics`: the same as JSON holds them; both empty for a case that
    was rejected.
    """

    row: Row
    warnings: Sequence[str]
    infos: Sequence[str] = ()
    line: str = ""
    statistics: Mapping[str, object] = field(default_factory=dict)

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
    scans = open_scans(case, MODALITIES)
    try:
        result = segment_scans(case, scans, model=model, name=settings.model, contract=settings.contract)
    except RejectedCaseError as error:
        return _rejected(case, error)
    dice, problem = _dice(result, case)
    statistics = result.statistics() | {f"dice_{region.lower()}": value for region, value in dice.items()}
    _write(result, statistics, job.files)
    seconds = time.monotonic() - start
    row = segmented_row(result, dice=dice, seconds=seconds, content_sha256=content_sha256)
    line = f"{case.case}: {job.files[Product.LABELS]}: {_one_line(result.prediction, dice)}"
    infos = [*_infos(result.findings), f"{case.case}: {seconds:.1f} s"]
    return Outcome(row, [*_warnings(result.findings), *problem], infos, line, statistics)


def _rejected(case: Case, error: RejectedCaseError) -> Outcome:
    """The lines are those of the findings; a scan that is too large for the memory has none."""
    too_large = [] if any(f.severity == "critical" for f in error.findings) else [str(error)]
    lines = [*_warnings(error.findings), *too_large]
    return Outcome(refused_row(case, error.reason), lines, _infos(error.findings))


def _dice(result: Segmentation, case: Case) -> tuple[dict[str, float], list[str]]:
    """The Dice of each region if the case has a true segmentation, and why it could not be used."""
    if SEGMENTATION not in case.files:
        return {}, []
    try:
        truth = read_volume(case.files[SEGMENTATION])
        if not truth.grid.has_valid_affine:
            raise GliosegError("expected an affine that can be inverted")
        labels = from_detected_scheme(truth.turned_to(result.grid).data, case.scheme)
        if labels.shape != result.labels.shape:
            raise GliosegError(f"expected shape {result.labels.shape}, got {labels.shape}")
    except GliosegError as error:
        return {}, [f"warning: {case.case}/{SEGMENTATION}: no Dice: {error}"]
    return region_dice(confusion_matrix(labels, result.labels)), []


def input_sha256(case: Case, facts: Mapping[str, object]) -> str:
    """One hash of everything that the row of a case depends on: its files, and what segments them.

    Args:
        case: the names of its files count too, since they determine the label scheme.
        facts: the model, its settings, the code and what is written.
    """
    files = [(role, case.files[role]) for role in ROLES if role in case.files]  # the truth gives the Dice
    digests = {path: _sha256(path) for _, path in files}
    scans = [[(role, path.name, digests[path]) for role, path in files], case.scheme.value, case.channels]
    return hashlib.sha256(repr([scans, sorted(facts.items())]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""  # reading a named pipe would block


def segmented_row(
    result: Segmentation, *, dice: Mapping[str, float], seconds: float, content_sha256: str
) -> Row:
    """The summary row of a segmented case.

    Args:
        result: of the case.
        dice: of each region, if the case has a true segmentation.
        seconds: time that the case took.
        content_sha256: from `input_sha256`.
    """
    prediction = result.prediction
    values = prediction.numeric_values | {f"dice_{region.lower()}": value for region, value in dice.items()}
    warnings = [finding for finding in result.findings if finding.severity == "warning"]
    return {
        "case": result.case,
        "status": SEGMENTED,
        "model": result.model,
        **{name: "" if value is None else f"{value:.6g}" for name, value in values.items()},
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


def _warnings(findings: Sequence[Finding]) -> list[str]:
    marked = {"warning": "warning: ", "critical": ""}
    return [f"{marked[found.severity]}{found}" for found in findings if found.severity in marked]


def _infos(findings: Sequence[Finding]) -> list[str]:
    return [str(found) for found in findings if found.severity == "info"]


def _write(result: Segmentation, statistics: Mapping[str, object], files: Mapping[Product, Path]) -> None:
    for product, file in files.items():
        match product:
            case Product.LABELS:
                result.save(file)
            case Product.ENTROPY:
                write_volume(file, Volume(result.entropy_bits, result.grid))
            case Product.STATISTICS_JSON:
                write_atomic(file, (json.dumps(statistics, indent=2, ensure_ascii=False) + "\n").encode())
            case Product.STATISTICS_CSV:
                write_atomic(file, _csv(statistics).encode())
            case Product.PREVIEW:
                write_atomic(file, _png(result))


def _csv(statistics: Mapping[str, object]) -> str:
    """A header and one row; texts of a list are separated by semicolons, unknown values are empty."""
    content = StringIO(newline="")
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(statistics)
    writer.writerow(
        "; ".join(map(str, value)) if isinstance(value, list) else value for value in statistics.values()
    )
    return content.getvalue()


def _png(result: Segmentation) -> bytes:
    content = BytesIO()
    result.plot().save(content, "PNG")
    return content.getvalue()


def _one_line(prediction: Prediction, dice: Mapping[str, float]) -> str:
    """Volumes, Dice, grade and survival where known, missing modalities, reasons for low confidence."""
    basis = ", synthetic" if prediction.calibrated_on == "synthetic" else ""
    parts = [_in_ml(name, volume, basis) for name, volume in prediction.volumes.items()]
    if dice:
        parts.append("Dice " + " ".join(f"{name} {value:.2f}" for name, value in dice.items()))
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
