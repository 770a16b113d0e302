"""Tables beside the scans: BraTS' tables of grade, age and survival, and a user's table of patients."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path

from glioseg.core.errors import GliosegError

GRADES = ("HGG", "LGG")
NAMED = 3
"""The number of cases that an error message lists."""


class TableError(GliosegError):
    """A table that cannot be read; the message names it."""


@dataclass(frozen=True)
class ClinicalData:
    """Grade, age at diagnosis and survival of a patient; None if unknown."""

    grade: str | None = None
    age: float | None = None
    survival_days: float | None = None


def read_clinical_tables(files: Iterable[Path]) -> dict[str, ClinicalData]:
    """Clinical data by case, from `name_mapping*.csv` (2019, 2020) and `survival*.csv` (2017 on).

    Columns differ by year: `Brats17ID`, `BraTS19ID`, `BraTS_2020_subject_ID`, …; `Survival` or
    `Survival_days`. A survival that is not a number ("ALIVE …") becomes None.

    Raises:
        TableError: a table is not UTF-8 text or not CSV.
    """
    tables = sorted(files)
    grades = {
        case: row["grade"]
        for row in _rows(tables, "name_mapping*.csv")
        if row.get("grade") in GRADES
        for case in _identities(row)
    }
    outcomes = {case: row for row in _rows(tables, "survival*.csv") for case in _identities(row)}
    return {
        case: ClinicalData(
            grades.get(case),
            _number(outcomes.get(case, {}), "age"),
            _number(outcomes.get(case, {}), "survival"),
        )
        for case in grades.keys() | outcomes.keys()
    }


def read_patient_ids(path: Path) -> dict[str, str]:
    """The patient of each case, from a user's own table with the columns `case` and `patient`.

    Raises:
        TableError: the table is missing, lacks a column, has an empty cell, or has two rows for a case.
    """
    rows = _read(path)
    if rows and not {"case", "patient"} <= rows[0].keys():
        raise TableError(f"{path}: expected columns case and patient, got {', '.join(rows[0])}")
    pairs = [(row["case"].strip(), row["patient"].strip()) for row in rows]
    if incomplete := [f"{case},{patient}" for case, patient in pairs if not (case and patient)]:
        raise TableError(f"{path}: expected a case and its patient in each row, got {first_few(incomplete)}")
    if repeated := [case for case, rows_of in Counter(case for case, _ in pairs).items() if rows_of > 1]:
        raise TableError(f"{path}: expected one row for each case, got more for {first_few(repeated)}")
    return dict(pairs)


def first_few(names: Sequence[str]) -> str:
    """The first few names, and the number of the others.

    >>> first_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _rows(files: Sequence[Path], pattern: str) -> Iterator[dict[str, str]]:
    """Rows of all tables whose file names match, with column names in lower case."""
    for file in files:
        if fnmatchcase(file.name, pattern):
            yield from _read(file)


def _read(file: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise TableError(f"{file}: not a table of patients: {error}") from None
    return [{(column or "").strip().lower(): value or "" for column, value in row.items()} for row in rows]


def _identities(row: dict[str, str]) -> list[str]:
    """All names of the case in a row: one in most tables, one for each year in name_mapping.csv."""
    return [value for column, value in row.items() if column.endswith("id") and value not in ("", "NA")]


def _number(row: dict[str, str], column: str) -> float | None:
    for name, value in row.items():
        if name.startswith(column):
            with suppress(ValueError):
                return number if isfinite(number := float(value)) else None
    return None
