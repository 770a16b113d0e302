"""What a user's folder holds: the list that changes when a file there does."""

import csv
import io
from pathlib import Path

from glioseg.data.cohort.case_cache import file_mark
from glioseg.data.cohort.cases import CohortError, walk


def take_inventory(folder: Path | None, *, cohort: Path, patients: Path | None = None) -> str:
    """Name every file below a folder with its size in bytes and its time in nanoseconds, as CSV.

    Without a folder the list has its header alone.

    Args:
        folder: the user's own.
        cohort: where acquire puts its copies; DVC removes what is there first.
        patients: the user's table of patients, wherever it lies; it is listed last.

    Raises:
        CohortError: no folder, one that the cohort would replace or lie in, or no table.
    """
    if folder is not None and not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    if folder is not None and _overlap(folder.resolve(), cohort.resolve()):
        raise CohortError(f"{folder}: expected a folder apart from {cohort}, which acquire replaces")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "bytes", "mtime_ns"])
    if folder is not None:
        for here, names in walk(folder):
            files = [here / name for name in names]
            writer.writerows([file.relative_to(folder), *file_mark(file)[:2]] for file in files)
        if patients is not None:
            writer.writerow([f"data.patients: {patients.name}", *_table_mark(patients)])
    return table.getvalue()


def _table_mark(table: Path) -> list[int]:
    if not table.is_file():
        raise CohortError(f"{table}: expected a table of patients, found none")
    return file_mark(table)[:2]


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
