"""Find the cases in a user's folder, in every layout of BraTS and the Medical Segmentation Decathlon."""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from glioseg.core.errors import GliosegError
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.data.cohort.case_cache import file_signature
from glioseg.data.cohort.cases import Case, CohortError
from glioseg.data.cohort.clinical import GRADES, ClinicalData, read_clinical_tables

NIFTI_SUFFIX = re.compile(r"\.nii(\.gz)?$")


class LayoutError(GliosegError):
    """A folder in an unknown layout, or with a broken dataset.json; the message names it."""


@dataclass(frozen=True)
class Layout:
    """File names of some years of BraTS: the name of the case, then a suffix for the role.

    `scheme` is the usual label scheme of these years; label maps can override it (`ingest.resolve_schemes`).
    """

    title: str
    scheme: LabelScheme
    endings: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.title} (CASE{{{','.join(self.endings)}}}.nii.gz)"


LAYOUTS = (
    # Grade: an HGG or LGG folder (2017 to 2019) or name_mapping.csv (2019, 2020). Survival: a survival*.csv.
    Layout("BraTS 2017 to 2021", LabelScheme.BRATS2021, {f"_{role}": role for role in ROLES}),
    Layout(
        "BraTS 2023 and 2024",
        LabelScheme.BRATS2023,
        {"-t1n": "t1", "-t1c": "t1ce", "-t2w": "t2", "-t2f": "flair", "-seg": "seg"},
    ),
)

DECATHLON = "MSD Task01_BrainTumour (dataset.json, imagesTr, labelsTr, imagesTs)"
DATASET = "dataset.json"
CHANNELS = {"flair": "flair", "t1w": "t1", "t1gd": "t1ce", "t2w": "t2"}
"""The modalities by their names in dataset.json, in lower case."""
TISSUE_NAMES = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
"""The tissues by their label values in dataset.json: those of `LabelScheme.MSD`."""


def describe_layouts() -> str:
    """All layouts, for an error message."""
    return "; ".join([*map(str, LAYOUTS), DECATHLON])


def parse_file_name(name: str) -> tuple[str, Layout, str] | None:
    """The case, layout and role of a file name, or None if it does not belong to a case.

    >>> case, layout, role = parse_file_name("BraTS-GLI-00000-000-t1c.nii.gz")
    >>> case, layout.title, role
    ('BraTS-GLI-00000-000', 'BraTS 2023 and 2024', 't1ce')
    """
    stem = NIFTI_SUFFIX.sub("", name)
    if stem == name or name.startswith("."):
        return None
    for layout in LAYOUTS:
        for ending, role in layout.endings.items():
            if stem.endswith(ending) and stem != ending:
                return stem.removesuffix(ending), layout, role
    return None


def find_cases(folder: Path) -> list[Case]:
    """Every case in a folder of BraTS or of the Decathlon's Task01, at any depth, sorted by name.

    Links to folders are followed. The grade comes from an HGG or LGG folder above a case or from BraTS'
    `name_mapping.csv`, age and survival from its `survival*.csv`.

    Raises:
        CohortError: the folder is missing, holds no case, or holds two cases with the same name.
        LayoutError: a dataset.json belongs to another task.
        TableError: a table cannot be read.
    """
    if not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    tree = list(walk_files(folder))
    # Folders too, so that a folder with the name of a table is an error and not ignored.
    paths = (path for here, names in tree for path in (here, *map(here.joinpath, names)))
    cases = sorted(_cases_in(tree, read_clinical_tables(paths)), key=lambda case: case.case)
    if not cases:
        seen = Counter(name for _, names in tree for name in names)
        some = ", ".join(name for name, _ in seen.most_common(3)) or "nothing"
        raise CohortError(
            f"{folder}: no case found among {seen.total()} files ({some}); "
            f"known layouts: {describe_layouts()}"
        )
    for case in cases:
        if not case.case.isprintable():
            raise CohortError(f"{case.case!a}: expected a name that can be printed, in {case.source!a}")
    for one, other in pairwise(cases):
        if one.case == other.case:
            raise CohortError(f"{one.case}: two cases have this name: {one.source}, {other.source}")
    return cases


def _cases_in(tree: Iterable[tuple[Path, list[str]]], clinical: Mapping[str, ClinicalData]) -> Iterator[Case]:
    """Every case in a tree of folders, as from `walk_files`."""
    for here, names in tree:
        if DATASET in names:
            yield from _decathlon_cases(here)
        cases: dict[tuple[str, LabelScheme], dict[str, Path]] = {}
        for name in names:
            if parsed := parse_file_name(name):
                case, layout, role = parsed
                files = cases.setdefault((case, layout.scheme), {})
                if role in files:
                    raise CohortError(
                        f"{case}/{role}: expected one file, got {files[role]} and {here / name}"
                    )
                files[role] = here / name
        grade = _folder_grade(here)
        for (case, scheme), files in cases.items():
            data = clinical.get(case, ClinicalData())
            yield Case(
                case, files, scheme, grade or data.grade, data.age, data.survival_days, source=str(here)
            )


def _folder_grade(folder: Path) -> str | None:
    """HGG or LGG, if a folder in the path has that name; links are resolved only if none has."""
    parts = (*folder.resolve().parts, *folder.parts)
    return next((part for part in reversed(parts) if part in GRADES), None)


def walk_files(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and each folder below it, with the sorted names of its files.

    Links to folders are followed; each folder is visited once, even if several links point to it.
    """
    visited = set()
    for here, folders, names in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(here)) in visited:
            folders.clear()
        else:
            visited.add(real)
            yield Path(here), sorted(names)


def _raise_unreadable(error: OSError) -> NoReturn:
    raise CohortError(f"{error.filename}: not readable: {error.strerror}") from None


def _decathlon_cases(folder: Path) -> Iterator[Case]:
    """The cases of a folder of the Decathlon's Task01: dataset.json, imagesTr, labelsTr and imagesTs.

    Raises:
        LayoutError: dataset.json cannot be read, or belongs to another task.
    """
    channels = _decathlon_channels(folder / DATASET)
    for part in ("imagesTr", "imagesTs"):
        for images in sorted((folder / part).glob("[!.]*.nii*")):
            if NIFTI_SUFFIX.search(images.name):
                name, label = NIFTI_SUFFIX.sub("", images.name), folder / "labelsTr" / images.name
                files = dict.fromkeys(channels, images) | ({SEGMENTATION: label} if label.exists() else {})
                yield Case(name, files, LabelScheme.MSD, source=str(folder), channels=dict(channels))


def _decathlon_channels(path: Path) -> dict[str, int]:
    """The index of each modality along the last axis of the images."""
    try:
        record = json.loads(path.read_text())
        channels = {CHANNELS.get(str(m).lower(), str(m)): int(i) for i, m in record["modality"].items()}
        tissues = {value: str(record["labels"].get(value)).lower() for value in TISSUE_NAMES}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: not a dataset.json of the Decathlon: {error!r}") from None
    if channels.keys() != set(MODALITIES):
        raise LayoutError(f"{path}: modality: expected FLAIR, T1w, t1gd and T2w, got {', '.join(channels)}")
    if tissues != TISSUE_NAMES:
        raise LayoutError(f"{path}: labels: expected {TISSUE_NAMES}, got {tissues}")
    return channels


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
