"""What a user's folder holds: the list that changes when a file there does."""

import csv
import io
from pathlib import Path

from glioseg.data.cases import CohortError, walk
from glioseg.data.records import file_mark


def take_inventory(folder: Path | None) -> str:
    """Name every file below a folder with its size in bytes and its time in nanoseconds, as CSV.

    Without a folder the list has its header alone.

    Raises:
        CohortError: no folder.
    """
    if folder is not None and not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "bytes", "mtime_ns"])
    for here, names in walk(folder) if folder else ():
        writer.writerows([(here / name).relative_to(folder), *file_mark(here / name)[:2]] for name in names)
    return table.getvalue()
