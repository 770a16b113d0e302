"""summary.csv of a folder of answers: a row a case, written while cases are finished."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_whole
from glioseg.core.fingerprint import sha256_file
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.validation_report import REFUSED, Finding
from glioseg.models.inference.prediction import NUMBERS, Answer

SUMMARY = "summary.csv"
SEGMENTED = "segmented"
COLUMNS = ("case", "status", "model", *NUMBERS, "doubt", "missing", "warnings", "error", "seconds", "made_of")
ALWAYS = {"case", "status", "made_of"}
"""Columns of every version's summary; an older one may lack others."""

Row = dict[str, str]


@dataclass(frozen=True)
class Summary:
    """The table of what lies in a folder.

    The whole table is written anew for each change, aside and then renamed: whenever the command is
    killed, all that was put into it is there.
    """

    path: Path

    def finished(self) -> dict[str, str]:
        """What each case that was segmented was made of."""
        return {row["case"]: row["made_of"] for row in self._rows() if row["status"] == SEGMENTED}

    def put(self, rows: Sequence[Row]) -> None:
        """Add rows of cases, in the place of earlier ones."""
        self._write({row["case"]: row for row in (*self._rows(), *rows)})

    def drop(self, cases: Sequence[str]) -> None:
        """Take out the rows of cases."""
        known, gone = self._rows(), set(cases)
        kept = {row["case"]: row for row in known if row["case"] not in gone}
        if len(kept) < len(known):
            self._write(kept)

    def _write(self, rows: Mapping[str, Row]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[case] for case in sorted(rows))
        write_whole(self.path, text.getvalue().encode())

    def _rows(self) -> list[Row]:
        """The rows so far; a file of the same name that is something else is not written over."""
        try:
            reader = csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8"), newline=""))
            rows = list(reader)
        except FileNotFoundError:
            return []
        except (ValueError, csv.Error) as error:
            raise GliosegError(f"{self.path}: not a summary of `glioseg predict`: {error}") from None
        if not ALWAYS <= set(reader.fieldnames or ()) <= set(COLUMNS):
            raise GliosegError(f"{self.path}: not a summary of `glioseg predict`: move it away")
        return rows


def segmented_row(
    case: Case, answer: Answer, *, model: str, warnings: Sequence[Finding], seconds: float, made_of: str
) -> Row:
    """The row of a case that was segmented.

    Args:
        case: which it is.
        answer: what the model says of it.
        model: who says it.
        warnings: what the contract has against it.
        seconds: how long it took.
        made_of: as from `made_of`.
    """
    numbers = {name: "" if value is None else f"{value:.6g}" for name, value in answer.numbers.items()}
    return {
        "case": case.case,
        "status": SEGMENTED,
        "model": model,
        **numbers,
        "doubt": "; ".join(answer.doubt),
        "missing": " ".join(answer.missing),
        "warnings": "; ".join(map(str, warnings)),
        "seconds": f"{seconds:.1f}",
        "made_of": made_of,
    }


def refused_row(case: Case, error: str) -> Row:
    """The row of a case that was not segmented, with the reason."""
    return {"case": case.case, "status": REFUSED, "error": error}


def made_of(case: Case, how: Mapping[str, object]) -> str:
    """One hash of all that a case's answer depends on: its files, and what segments them.

    Args:
        case: its names count too, since they tell the scheme.
        how: facts of the model, its settings, its code and what is written.
    """
    files = [(role, case.files[role]) for role in MODALITIES if role in case.files]
    known = {path: _sha256(path) for _, path in files}
    facts = [[(role, path.name, known[path]) for role, path in files], case.scheme.value, case.channels]
    return hashlib.sha256(repr([facts, sorted(how.items())]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""  # a pipe would be waited for
