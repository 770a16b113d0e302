"""The files of a user's folder: the walk through it, and a table of their sizes and times."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from glioseg.data.cohort.case_cache import file_signature
from glioseg.data.cohort.cases import CohortError

SYSTEM_FOLDER = re.compile(r"\..*|lost\+found|@eaDir|System Volume Information|\$RECYCLE\.BIN")
"""Folders of file systems and file servers: hidden ones (snapshots, waste bins), and those of fsck, Synology
and Windows. They hold copies or no scans."""


def walk_files(
    folder: Path, *, skipped: Callable[[str], None] = lambda line: None
) -> Iterator[tuple[Path, list[str]]]:
    """A folder and each folder below it, with the sorted names of its files.

    Links to folders are followed; each folder is visited once, even if several links point to it.

    Args:
        folder: where to begin.
        skipped: is called with a line for each folder that is left out: it cannot be read, or belongs to the
            file system.

    Raises:
        CohortError: `folder` itself cannot be read.
    """

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise CohortError(f"{error.filename}: not readable: {error.strerror}")
        skipped(f"{error.filename}: skipped: not readable: {error.strerror}")

    visited = set()
    for here, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        for name in sorted(folders):
            if SYSTEM_FOLDER.fullmatch(name):
                skipped(f"{Path(here, name)}: skipped: a folder of the file system")
        folders[:] = sorted(name for name in folders if not SYSTEM_FOLDER.fullmatch(name))
        if (real := os.path.realpath(here)) in visited:
            folders.clear()
        else:
            visited.add(real)
            yield Path(here), sorted(names)


def take_inventory(folder: Path | None, *, cohort: Path, patients: Path | None = None) -> str:
    """A CSV table of every file below a folder, with its size in bytes and its time in nanoseconds.

    The table changes whenever a file changes. Without a folder it has only its header.

    Args:
        folder: the user's folder.
        cohort: the folder to which stage `acquire` copies the cases; DVC empties it first.
        patients: the user's table of patients, at any path; it becomes the last row.

    Raises:
        CohortError: the folder or the table is missing, or the folder overlaps with the cohort.
    """
    if folder is not None and not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    if folder is not None and _overlap(folder.resolve(), cohort.resolve()):
        raise CohortError(f"{folder}: expected a folder apart from {cohort}, which acquire replaces")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "bytes", "mtime_ns"])
    if folder is not None:
        for here, names in walk_files(folder):
            files = [here / name for name in names]
            writer.writerows([file.relative_to(folder), *file_signature(file)[:2]] for file in files)
        if patients is not None:
            if not patients.is_file():
                raise CohortError(f"{patients}: expected a table of patients, found none")
            writer.writerow([f"data.patients: {patients.name}", *file_signature(patients)[:2]])
    return table.getvalue()


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
