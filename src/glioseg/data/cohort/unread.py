"""Files of a user's folder that belong to no case, each with the reason."""

import csv
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.nifti import DICOM_ADVICE, is_dicom_content

NO_ROLE, NO_IMAGES = "no role", "a segmentation without images of its case"
NOT_NIFTI = "not a NIfTI file: expected a name that ends in .nii or .nii.gz"
DICOM = f"DICOM: {DICOM_ADVICE}"
UNREAD = "unread.csv"
"""The table, beside cohort.csv, of the files of the user's folder that belong to no case."""

OTHER_IMAGE = re.compile(r"\.(mha|mhd|nrrd|nhdr|mgz|mgh|img|hdr)$|\.nii\W.*", re.IGNORECASE | re.DOTALL)
"""Images in formats that glioseg does not read, and names that a download has changed: x.nii (1).gz."""
DICOM_NAME = re.compile(r"\.(dcm|dicom|ima)$|^DICOMDIR$", re.IGNORECASE)
NUMBERED = re.compile(r"[^.]*|.*\.\d+", re.DOTALL)
"""Names without an extension, as many files in DICOM have: IM0001, 1.2.840.113619.2."""
DICOM_HEADER_BYTES = 132


@dataclass(frozen=True)
class Unread:
    """A file that belongs to no case, and why."""

    file: Path
    reason: str

    def __str__(self) -> str:
        """The path of the file, with escapes for what cannot be printed."""
        return printable(str(self.file))


def printable(name: str) -> str:
    r"""A name with escapes for line breaks and the like, if it has any.

    >>> printable("a\nb"), printable("ä")
    ('a\\nb', 'ä')
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def other_format(file: Path) -> str | None:
    """The reason why a file with another name than NIfTI's is not read; None if it is no image."""
    if OTHER_IMAGE.search(file.name):
        return NOT_NIFTI
    return DICOM if is_dicom(file) else None


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM: by its name or, if that has no extension, by its content."""
    if DICOM_NAME.search(file.name):
        return True
    try:
        if not NUMBERED.fullmatch(file.name) or not stat.S_ISREG(file.stat().st_mode):
            return False
        with file.open("rb") as content:
            return is_dicom_content(content.read(DICOM_HEADER_BYTES))
    except OSError:
        return False


def write_unread(path: Path, unread: Iterable[Unread]) -> None:
    """Write the table of files that belong to no case."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("file", "reason"), *((str(item), item.reason) for item in unread)])


def read_unread(path: Path) -> list[Unread]:
    """The files that belong to no case; none if there is no table."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [Unread(Path(row["file"]), row["reason"]) for row in csv.DictReader(file)]
