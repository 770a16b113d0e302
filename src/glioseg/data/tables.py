"""What BraTS says of its patients in tables beside the scans: grade, age and survival."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from glioseg.errors import GliosegError

GRADES = ("HGG", "LGG")


class TableError(GliosegError):
    """A table that cannot be read; the message names it."""


@dataclass(frozen=True)
class Patient:
    """What is known of a case's patient; None is what is not."""

    grade: str | None = None
    age: float | None = None
    survival_days: float | None = None


def read_patients(folder: Path) -> dict[str, Patient]:
    """Patients by case, from all `name_mapping*.csv` (2019, 2020) and `survival*.csv` (2017 on) in a folder.

    Columns differ by year: `Brats17ID`, `BraTS19ID`, `BraTS_2020_subject_ID`, …; `Survival` or
    `Survival_days`. A survival that is no number ("ALIVE …") is not known.

    Raises:
        TableError: a table that is not text in UTF-8, or no CSV.
    """
    grades = {
        case: row["grade"]
        for row in _rows(folder, "name_mapping*.csv")
        if row.get("grade") in GRADES
        for case in _identities(row)
    }
    outcomes = {case: row for row in _rows(folder, "survival*.csv") for case in _identities(row)}
    return {
        case: Patient(
            grades.get(case),
            _number(outcomes.get(case, {}), "age"),
            _number(outcomes.get(case, {}), "survival"),
        )
        for case in grades.keys() | outcomes.keys()
    }


def _rows(folder: Path, pattern: str) -> Iterator[dict[str, str]]:
    """Rows of all tables of this name, with column names in lower case."""
    for file in sorted(folder.rglob(pattern)):
        try:
            rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, ValueError, csv.Error) as error:
            raise TableError(f"{file}: not a table of patients: {error}") from None
        for row in rows:
            yield {(column or "").lower(): value or "" for column, value in row.items()}


def _identities(row: dict[str, str]) -> list[str]:
    """All names that a row gives its case: one in most tables, one for each year in name_mapping.csv."""
    return [value for column, value in row.items() if column.endswith("id") and value not in ("", "NA")]


def _number(row: dict[str, str], column: str) -> float | None:
    for name, value in row.items():
        if name.startswith(column):
            with suppress(ValueError):
                return number if isfinite(number := float(value)) else None
    return None
