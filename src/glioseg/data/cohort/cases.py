"""Cases: finding them in a user's folder, and the table that lists a cohort."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from glioseg.core.errors import GliosegError
from glioseg.core.labels import Scheme
from glioseg.core.modalities import ROLES, SEGMENTATION
from glioseg.data.cohort.clinical import (
    GRADES,
    Patient,
    TableError,
    first_few,
    read_patient_ids,
    read_patients,
)
from glioseg.data.cohort.layouts import DATASET, DecathlonCase, decathlon_cases, known_layouts, match_name

COHORT = "cohort.csv"
"""The table that lists the cases of data/raw."""

COLUMNS = ("case", "patient", "scheme", "grade", "age", "survival_days", "source")


class CohortError(GliosegError):
    """A folder or table of cases that glioseg cannot use; the message names it."""


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    `files` maps a role of `ROLES` to its file; a role that is missing is not there. `channels` says,
    where one 4D file holds several roles, where along its last axis each lies. `patient` is whose examination
    it is: if it is not given, its name tells.
    """

    case: str
    files: dict[str, Path]
    scheme: Scheme
    grade: str | None = None
    age: float | None = None
    survival_days: float | None = None
    source: str = ""
    channels: dict[str, int] = field(default_factory=dict)
    patient: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or named_patient(self.case))

    @property
    def labelled(self) -> bool:
        """Whether the case has a segmentation."""
        return SEGMENTATION in self.files


def named_patient(case: str) -> str:
    """The patient that a case's name tells: a name of BraTS 2023 ends in the visit's number.

    >>> named_patient("BraTS-GLI-00005-001"), named_patient("BraTS2021_00005")
    ('BraTS-GLI-00005', 'BraTS2021_00005')
    """
    return re.sub(r"^(BraTS-\w+-\d+)-\d+$", r"\1", case)


def with_patient_ids(cases: Sequence[Case], table: Path) -> list[Case]:
    """Cases with the patients that a user's own table names, whatever their names tell.

    Args:
        cases: all of a cohort.
        table: columns `case` and `patient`; a row for each case, and for no other.

    Raises:
        TableError: as `read_patient_ids`; or a case without a row, or a row without a case.
    """
    ids = read_patient_ids(table)
    if missing := [case.case for case in cases if case.case not in ids]:
        raise TableError(f"{table}: expected a row for each case, missing {first_few(missing)}")
    if strange := sorted(ids.keys() - {case.case for case in cases}):
        raise TableError(f"{table}: expected cases of the cohort, got {first_few(strange)}")
    return [replace(case, patient=ids[case.case]) for case in cases]


def find_cases(folder: Path) -> list[Case]:
    """Find every case in a folder of BraTS or of the Decathlon's Task01, however deep, sorted by name.

    Links to folders are followed. Grade is read from an HGG or LGG folder above a case or from BraTS'
    `name_mapping.csv`, age and survival from its `survival*.csv`.

    Raises:
        CohortError: no folder, no case in it, or two cases of one name.
        LayoutError, TableError: a dataset.json that is not that of Task01, or a table that cannot be read.
    """
    if not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    tree = list(walk(folder))
    # Folders too: one with the name of a table is a mistake that is named.
    patients = read_patients(path for here, names in tree for path in (here, *map(here.joinpath, names)))
    cases = sorted(_scan(tree, patients), key=lambda case: case.case)
    if not cases:
        seen = Counter(name for _, names in tree for name in names)
        some = ", ".join(name for name, _ in seen.most_common(3)) or "nothing"
        raise CohortError(
            f"{folder}: no case found among {seen.total()} files ({some}); known layouts: {known_layouts()}"
        )
    for case in cases:
        if not case.case.isprintable():
            raise CohortError(f"{case.case!a}: expected a name that can be printed, in {case.source!a}")
    for one, other in pairwise(cases):
        if one.case == other.case:
            raise CohortError(f"{one.case}: two cases have this name: {one.source}, {other.source}")
    return cases


def _scan(tree: Iterable[tuple[Path, list[str]]], patients: dict[str, Patient]) -> Iterator[Case]:
    """Every case in a tree of folders, as from `walk`."""
    for here, names in tree:
        if DATASET in names:
            yield from map(_decathlon_case, decathlon_cases(here))
        found: dict[tuple[str, Scheme], dict[str, Path]] = {}
        for name in names:
            if match := match_name(name):
                case, layout, role = match
                files = found.setdefault((case, layout.scheme), {})
                if role in files:
                    raise CohortError(
                        f"{case}/{role}: expected one file, got {files[role]} and {here / name}"
                    )
                files[role] = here / name
        grade = _folder_grade(here)
        for (case, scheme), files in found.items():
            known = patients.get(case, Patient())
            yield Case(
                case, files, scheme, grade or known.grade, known.age, known.survival_days, source=str(here)
            )


def _folder_grade(folder: Path) -> str | None:
    """HGG or LGG, where a folder of that name is in the path: as it is given, or else with links resolved."""
    parts = (*folder.resolve().parts, *folder.parts)
    return next((part for part in reversed(parts) if part in GRADES), None)


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and each one below it, with the names of its files in order: how glioseg finds a user's files.

    Links to folders are followed; a folder comes once, whatever links lead to it.
    """
    known = set()
    for here, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        folders.sort()
        if (true := os.path.realpath(here)) in known:
            folders.clear()
        else:
            known.add(true)
            yield Path(here), sorted(names)


def _refuse(error: OSError) -> NoReturn:
    raise CohortError(f"{error.filename}: not readable: {error.strerror}") from None


def _decathlon_case(found: DecathlonCase) -> Case:
    files = dict.fromkeys(found.channels, found.images)
    files |= {SEGMENTATION: found.label} if found.label else {}
    source = str(found.images.parent.parent)
    return Case(found.name, files, Scheme.MSD, source=source, channels=dict(found.channels))


def write_cohort(path: Path, cases: Sequence[Case]) -> None:
    """Write cohort.csv: one row a case; what is not known stays empty."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(case, column) for column in COLUMNS] for case in cases)


def read_cohort(path: Path) -> list[Case]:
    """Read cohort.csv and look up each case's files, in a folder of its name beside the table.

    Raises:
        CohortError: no table, one without its columns, or a value that does not fit.
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
    """Those cases of a cohort.csv, in the order of `names`.

    Raises:
        CohortError: as `read_cohort`; or a name that the table does not have.
    """
    known = {case.case: case for case in read_cohort(path)}
    if missing := sorted(set(names) - known.keys()):
        raise CohortError(f"{path}: expected {len(names)} cases, missing {', '.join(missing)}")
    return [known[name] for name in names]


def _case_of_row(folder: Path, row: dict[str, str]) -> Case:
    name = row["case"]
    here = [folder / name / f"{name}_{role}{end}" for role in ROLES for end in (".nii.gz", ".nii")]
    return Case(
        case=name,
        files={match[2]: file for file in here if file.exists() and (match := match_name(file.name))},
        scheme=Scheme(row["scheme"]),
        grade=row["grade"] or None,
        age=float(row["age"]) if row["age"] else None,
        survival_days=float(row["survival_days"]) if row["survival_days"] else None,
        source=row["source"],
        patient=row["patient"],
    )
