"""A case: its files, its row in cohort.csv, and its volumes."""

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from glioseg.core.background import with_zero_background
from glioseg.core.errors import GliosegError
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.core.nifti import Volume, VolumeError, decode_volume, read_channels, read_volume
from glioseg.data.cohort.clinical import TableError, first_few, read_patient_ids

COHORT = "cohort.csv"
"""The table that lists the cases of data/raw."""

COLUMNS = ("case", "patient", "scheme", "grade", "age", "survival_days", "source")

PATIENTS = tuple(
    re.compile(rf"(?:.*_)?({patient}){visit}")
    for patient, visit in (
        (r"BraTS-\w+-\d+", r"-\d+"),  # BraTS 2023 on
        (r"Bra[Tt][Ss]\d+_\w+", ""),  # BraTS 2017 to 2021
        (r"UPENN-GBM-\d+", r"(?:_\d+)?"),
        (r"UCSF-PDGM-\d+", r"(?:_FU\w+)?"),
        (r"TCGA-\w{2}-\w{4}", r"(?:_[\d.]+)?"),
        (r"sub-[a-zA-Z0-9]+", r"(?:_ses-[a-zA-Z0-9]+)?"),  # BIDS
    )
)
"""Case names of public data sets: the patient, then the visit."""


class CohortError(GliosegError):
    """A folder or table of cases that glioseg cannot use; the message names it."""


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    `files` maps each role of `ROLES` that the case has to its file. If one 4D file holds several roles,
    `channels` gives the index of each along the last axis. Without `patient`, the case's name determines the
    patient.
    """

    case: str
    files: dict[str, Path]
    scheme: LabelScheme
    grade: str | None = None
    age: float | None = None
    survival_days: float | None = None
    source: str = ""
    channels: dict[str, int] = field(default_factory=dict)
    patient: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or patient_from_name(self.case))

    @property
    def labelled(self) -> bool:
        """Whether the case has a segmentation."""
        return SEGMENTATION in self.files


def patient_from_name(case: str) -> str:
    """The patient of a case, from its name; names of public data sets may end in the visit.

    Cases of one name in two folders are called after the folder too; identifiers of public data sets stay
    those of the patient.

    >>> patient_from_name("BraTS-GLI-00005-001"), patient_from_name("UPENN-GBM-00001_21")
    ('BraTS-GLI-00005', 'UPENN-GBM-00001')
    >>> patient_from_name("sub-01_ses-2"), patient_from_name("copy_BraTS2021_00005")
    ('sub-01', 'BraTS2021_00005')
    """
    for pattern in PATIENTS:
        if match := pattern.fullmatch(case):
            return match[1]
    return case


def with_patient_ids(cases: Sequence[Case], table: Path) -> list[Case]:
    """Cases with the patients of a user's own table, which overrides the case names.

    Args:
        cases: all cases of a cohort.
        table: a CSV file with columns `case` and `patient`, and one row for each case of the cohort.

    Raises:
        TableError: as for `read_patient_ids`; or a case has no row, or a row has no case.
    """
    ids = read_patient_ids(table)
    if missing := [case.case for case in cases if case.case not in ids]:
        raise TableError(f"{table}: expected a row for each case, missing {first_few(missing)}")
    if unknown := sorted(ids.keys() - {case.case for case in cases}):
        raise TableError(f"{table}: expected cases of the cohort, got {first_few(unknown)}")
    return [replace(case, patient=ids[case.case]) for case in cases]


def write_cohort(path: Path, cases: Sequence[Case]) -> None:
    """Write cohort.csv: one row per case, with empty cells for unknown values."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(case, column) for column in COLUMNS] for case in cases)


def read_cohort(path: Path) -> list[Case]:
    """The cases of cohort.csv, with their files in folders beside the table, one named after each case.

    Raises:
        CohortError: the table is missing, lacks a column, or holds an invalid value.
    """
    try:
        reader = csv.DictReader(path.read_text().splitlines())
        names = reader.fieldnames or ()
    except OSError as error:
        raise CohortError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path}: not a table: {error}") from None
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise CohortError(f"{path}: expected columns {list(COLUMNS)}, missing {missing}")
    try:
        return [_case_of_row(path.parent, row) for row in reader]
    except (ValueError, csv.Error) as error:
        raise CohortError(f"{path}: line {reader.line_num}: {error}") from None


def read_cases(path: Path, names: Sequence[str]) -> list[Case]:
    """The named cases of a cohort.csv, in the order of `names`.

    Raises:
        CohortError: as for `read_cohort`; or the table lacks a name.
    """
    by_name = {case.case: case for case in read_cohort(path)}
    if missing := sorted(set(names) - by_name.keys()):
        raise CohortError(f"{path}: expected {len(names)} cases, missing {', '.join(missing)}")
    return [by_name[name] for name in names]


def _case_of_row(folder: Path, row: dict[str, str]) -> Case:
    name = row["case"]
    suffixes = (".nii.gz", ".nii")
    files = [(role, folder / name / f"{name}_{role}{suffix}") for role in ROLES for suffix in suffixes]
    return Case(
        case=name,
        files={role: file for role, file in files if file.exists()},
        scheme=LabelScheme(row["scheme"]),
        grade=row["grade"] or None,
        age=float(row["age"]) if row["age"] else None,
        survival_days=float(row["survival_days"]) if row["survival_days"] else None,
        source=row["source"],
        patient=row["patient"],
    )


@dataclass(frozen=True)
class Scan:
    """One volume of a case, or the reason why it cannot be read.

    `file`: name of its file, for findings; `sha256`: hash of the file's bytes, None if the file was not read
    or holds several volumes.
    """

    file: str
    volume: Volume | None = None
    problem: str | None = None
    sha256: str | None = None


def open_scans(case: Case, roles: Iterable[str]) -> dict[str, Scan]:
    """The scans of a case among `roles`; a scan that cannot be read has a `problem`."""
    present = [role for role in roles if role in case.files]
    stacked = _open_stacked(case)
    return {role: stacked.get(role) or _open(case.files[role]) for role in present}


def _open(path: Path) -> Scan:
    try:
        return decode_scan(path.read_bytes(), file=path.name)
    except OSError as error:
        return Scan(path.name, problem=f"not readable: {error.strerror}")


def zero_backgrounds(scans: Mapping[str, Scan]) -> dict[str, Scan]:
    """The scans by role, with a background of 0 in the images that were read."""
    return {
        role: replace(scan, volume=with_zero_background(scan.volume))
        if scan.volume is not None and role != SEGMENTATION
        else scan
        for role, scan in scans.items()
    }


def decode_scan(content: bytes, *, file: str, max_voxels: int | None = None) -> Scan:
    """The scan in the bytes of a file.

    Args:
        content: the bytes of a .nii or .nii.gz file.
        file: its name, which may be empty.
        max_voxels: as for `glioseg.core.nifti.decode_volume`.
    """
    digest = hashlib.sha256(content).hexdigest()
    try:
        return Scan(file, decode_volume(content, name=file, max_voxels=max_voxels), sha256=digest)
    except VolumeError as error:
        return Scan(file, problem=_reason(error, file), sha256=digest)


def _open_stacked(case: Case) -> dict[str, Scan]:
    try:
        return {role: Scan(case.files[role].name, volume) for role, volume in read_stacked(case).items()}
    except VolumeError as error:
        files = {role: case.files[role] for role in case.channels}
        return {role: Scan(file.name, problem=_reason(error, str(file))) for role, file in files.items()}


def _reason(error: VolumeError, name: str) -> str:
    return " ".join(str(error).removeprefix(f"{name}: ").split())


def read_images(case: Case) -> dict[str, Volume]:
    """The volume of each modality of a case, in the order of `MODALITIES`, with the axes of the first.

    The background of each is 0.

    Raises:
        VolumeError: as for `read_volume` and `read_channels`.
    """
    single = [name for name in MODALITIES if name in case.files and name not in case.channels]
    images = read_stacked(case) | {name: read_volume(case.files[name]) for name in single}
    return turned_alike({name: with_zero_background(images[name]) for name in MODALITIES if name in images})


def turned_alike(volumes: Mapping[str, Volume]) -> dict[str, Volume]:
    """The volumes of a case with the axes of its first image, e.g. where FLAIR is RAS and T1 is LPS.

    No voxel moves in space. A volume whose affine cannot be inverted is unchanged.

    Args:
        volumes: by role; the first image is that in the order of `ROLES`.
    """
    grids = [volumes[role].grid for role in ROLES if role in volumes]
    first = next((grid for grid in grids if grid.has_valid_affine), None)
    return {role: volume if first is None else volume.turned_to(first) for role, volume in volumes.items()}


def read_image(path: Path) -> Volume:
    """The volume of one modality, with a background of 0.

    Raises:
        VolumeError: as for `read_volume`.
    """
    return with_zero_background(read_volume(path))


def read_stacked(case: Case) -> dict[str, Volume]:
    """The volumes of those modalities that share a 4D file."""
    if not case.channels:
        return {}
    (file,) = {case.files[name] for name in case.channels}
    return read_channels(file, case.channels)
