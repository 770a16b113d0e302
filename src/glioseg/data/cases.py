"""Cases: finding them in a user's BraTS folder, and the table that lists a cohort."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from glioseg.labels import Scheme

COHORT = "cohort.csv"
"""The table that lists the cases of data/raw."""

MODALITIES = ("t1", "t1ce", "t2", "flair")
SEGMENTATION = "seg"
ROLES = (*MODALITIES, SEGMENTATION)
"""The files of a case: four images and, where known, the segmentation."""

NAMINGS: dict[Scheme, dict[str, str]] = {
    Scheme.BRATS2021: {f"_{role}": role for role in ROLES},
    Scheme.BRATS2023: {"-t1n": "t1", "-t1c": "t1ce", "-t2w": "t2", "-t2f": "flair", "-seg": "seg"},
}
"""How each era of BraTS ends a file's name, and which role that is."""

SUFFIX = re.compile(r"\.nii(\.gz)?$")
COLUMNS = ("case", "patient", "scheme", "grade", "age", "survival_days", "source")


class CohortError(ValueError):
    """A folder or table of cases that glioseg cannot use; the message names it."""


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    `files` maps a role of `ROLES` to its file; a role that is missing is not there.
    """

    case: str
    files: dict[str, Path]
    scheme: Scheme
    grade: str | None = None
    age: float | None = None
    survival_days: float | None = None
    source: str = ""

    @property
    def patient(self) -> str:
        """Whose examination it is: a BraTS 2023 name ends in the visit's number."""
        return re.sub(r"^(BraTS-\w+-\d+)-\d+$", r"\1", self.case)

    @property
    def labelled(self) -> bool:
        """Whether the case has a segmentation."""
        return SEGMENTATION in self.files


def find_cases(folder: Path) -> list[Case]:
    """Find every case in a BraTS folder, however deep, sorted by name.

    A case is a folder whose files end as one of `NAMINGS` says. Grade is read from an HGG or LGG
    folder above it, age and survival from a `survival*.csv` of BraTS where there is one.

    Raises:
        CohortError: no folder, no case in it, or two cases of one name.
    """
    if not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of BraTS cases, found none")
    outcomes = _read_outcomes(folder)
    cases = sorted(_scan(folder, outcomes), key=lambda case: case.case)
    if not cases:
        endings = ", ".join("*" + "{" + ",".join(names) + "}.nii.gz" for names in NAMINGS.values())
        raise CohortError(f"{folder}: no case found; expected files named {endings}")
    for one, other in pairwise(cases):
        if one.case == other.case:
            raise CohortError(f"{one.case}: two cases have this name: {one.source}, {other.source}")
    return cases


def _scan(folder: Path, outcomes: dict[str, dict[str, float]]) -> Iterator[Case]:
    for here in sorted({folder, *(path for path in folder.rglob("*") if path.is_dir())}):
        found: dict[tuple[str, Scheme], dict[str, Path]] = {}
        for file in sorted(here.iterdir()):
            if match := match_name(file.name):
                name, scheme, role = match
                found.setdefault((name, scheme), {})[role] = file
        for (name, scheme), files in found.items():
            grade = next((part for part in here.parts[::-1] if part in ("HGG", "LGG")), None)
            known = outcomes.get(name, {})
            yield Case(name, files, scheme, grade, source=str(here), **known)


def match_name(name: str) -> tuple[str, Scheme, str] | None:
    """Split a file's name into case, scheme and role, or None where it is not a case's file.

    >>> match_name("BraTS-GLI-00000-000-t1c.nii.gz")
    ('BraTS-GLI-00000-000', <Scheme.BRATS2023: 'brats2023'>, 't1ce')
    """
    stem = SUFFIX.sub("", name)
    if stem == name or name.startswith("."):
        return None
    for scheme, endings in NAMINGS.items():
        for ending, role in endings.items():
            if stem.endswith(ending) and stem != ending:
                return stem.removesuffix(ending), scheme, role
    return None


def _read_outcomes(folder: Path) -> dict[str, dict[str, float]]:
    """Age and survival by case, from a BraTS `survival_data.csv` or `survival_info.csv` (2017 on).

    Columns differ by year (`Brats17ID`, `BraTS19ID`, …; `Survival`, `Survival_days`); a survival that
    is no number ("ALIVE …") is not known.
    """
    known: dict[str, dict[str, float]] = {}
    for file in sorted(folder.rglob("survival*.csv")):
        for row in csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()):
            for column, value in row.items():
                if column and column.lower().endswith("id"):
                    known[value] = _numbers(row)
    return known


def _numbers(row: dict[str, str]) -> dict[str, float]:
    fields = {"age": "age", "survival": "survival_days"}
    found = {}
    for column, value in row.items():
        field = next(
            (field for start, field in fields.items() if (column or "").lower().startswith(start)), None
        )
        with suppress(ValueError):
            if field:
                found[field] = float(value)
    return found


def write_cohort(path: Path, cases: list[Case]) -> None:
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
    except OSError as error:
        raise CohortError(f"{path}: {error.strerror}") from None
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise CohortError(f"{path}: expected columns {list(COLUMNS)}, missing {missing}")
    try:
        return [_case_of_row(path.parent, row) for row in reader]
    except ValueError as error:
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
    )
