"""Segment one case, here or on a worker: the answer goes to a file, and how it went comes back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glioseg.cli.summary_csv import Row, made_of, refused_row, segmented_row
from glioseg.core.errors import GliosegError
from glioseg.core.labels import to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.case_io import open_scans
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.case_validation import check_case
from glioseg.data.quality.validation_report import REFUSED, Finding
from glioseg.data.store.resampling import ResamplingError
from glioseg.models.inference.prediction import Answer, Model, RegionVolume, percent
from glioseg.params.contract import Contract


@dataclass(frozen=True)
class Todo:
    """A case, and the files to write: labels and, if wished for, entropy."""

    case: Case
    files: Sequence[Path]


@dataclass(frozen=True)
class Terms:
    """What holds for every case: the model's name and contract, and `facts`, which decide the answers."""

    model: str
    contract: Contract
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Outcome:
    """How a case went: its row of the summary, what is to be said, and a line where it was segmented."""

    row: Row
    warnings: Sequence[str]
    line: str = ""

    @property
    def refused(self) -> bool:
        """Whether the contract did not let the case pass."""
        return self.row["status"] == REFUSED


def segment_case(todo: Todo, *, model: Model, terms: Terms) -> Outcome:
    """Segment a case and write its files, each whole or not at all; done twice it leaves the same.

    Args:
        todo: the case.
        model: loaded, or one that loads where it is asked.
        terms: of all cases.

    Raises:
        GliosegError: not even one window fits the memory budget; the message names the case.
    """
    start, case = time.monotonic(), todo.case
    content = made_of(case, terms.facts)
    scans = open_scans(case, MODALITIES)
    found = [finding for finding in check_case(case, scans, terms.contract) if finding.severity != "info"]
    critical = [str(finding) for finding in found if finding.severity == "critical"]
    said = [_say(finding) for finding in found]
    if critical:
        return Outcome(refused_row(case, "; ".join(critical)), said)
    images = {role: scan.volume for role, scan in scans.items() if scan.volume is not None}
    try:
        given = model.answer(images)
    except ResamplingError as error:  # other cases may do
        return Outcome(refused_row(case, str(error)), [*said, f"{case.case}: {error}"])
    except GliosegError as error:
        raise GliosegError(f"{case.case}: {error}") from None
    _write(given, todo, next(iter(images.values())).grid)
    row = segmented_row(
        case,
        given,
        model=terms.model,
        warnings=found,
        seconds=time.monotonic() - start,
        made_of=content,
    )
    return Outcome(row, said, f"{case.case}: {todo.files[0]}: {_summary(given)}")


def _say(finding: Finding) -> str:
    return f"warning: {finding}" if finding.severity == "warning" else str(finding)


def _write(answer: Answer, todo: Todo, grid: Grid) -> None:
    arrays = (to_scheme(answer.labels, todo.case.scheme), answer.entropy_bits)
    for file, array in zip(todo.files, arrays, strict=False):
        write_volume(file, Volume(array, grid))


def _summary(answer: Answer) -> str:
    """One line: volumes with their intervals, outcomes where there are any, what was missing, and doubt."""
    parts = [_in_ml(name, volume) for name, volume in answer.volumes.items()]
    if answer.grade_lgg is not None:
        parts.append(f"low grade {answer.grade_lgg:.0%}")
    if answer.survival_days is not None:
        parts.append(f"survival {answer.survival_days:.0f} days")
    if answer.missing:
        parts.append(f"missing {' and '.join(answer.missing)}")
    if answer.doubt:
        parts.append(f"low confidence: {'; '.join(answer.doubt)}")
    return ", ".join(parts)


def _in_ml(name: str, volume: RegionVolume) -> str:
    if volume.level is None:
        return f"{name} {volume.ml:.1f} ml"
    ends = f"{volume.low_ml:.1f} to {volume.high_ml:.1f}"
    return f"{name} {volume.ml:.1f} ml ({percent(volume.level)} interval {ends})"
