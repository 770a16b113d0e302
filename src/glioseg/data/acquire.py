"""Bring a cohort into data/raw: phantoms made here, or a user's files copied byte for byte."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from glioseg.cluster import map_cases
from glioseg.data.cases import (
    COHORT,
    SEGMENTATION,
    SUFFIX,
    Case,
    CohortError,
    find_cases,
    read_cohort,
    write_cohort,
)
from glioseg.data.volumes import Grid, Volume, VolumeError, read_volume, write_volume
from glioseg.files import replaced_whole
from glioseg.labels import Scheme, detect_scheme

Item = TypeVar("Item")


def acquire_phantoms(folder: Path, *, cases: int, seed: int) -> list[Case]:
    """Write the built-in cohort: `cases` BraTS-like cases and cohort.csv.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        cases: how many.
        seed: the same seed gives the same bytes.
    """
    return _acquire(folder, partial(_write_phantom, seed=seed), range(1, cases + 1), "make phantoms")


def acquire_folder(folder: Path, *, source: Path) -> list[Case]:
    """Copy a user's BraTS folder under one naming and list it in cohort.csv.

    The user's own files are copied, never linked: DVC makes what it tracks read-only.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        source: the user's folder.

    Raises:
        CohortError: no case found, two of one name, or cases of one naming in both label schemes.
    """
    return _acquire(folder, _copy_case, detect_schemes(find_cases(source)), "copy cases")


def _acquire(
    folder: Path, work: Callable[[Path, Item], Case], items: Sequence[Item], title: str
) -> list[Case]:
    with replaced_whole(folder) as aside:
        cases = map_cases(partial(work, aside), items, title=title)
        write_cohort(aside / COHORT, cases)
    return read_cohort(folder / COHORT)


def _write_phantom(folder: Path, index: int, *, seed: int) -> Case:
    from glioseg.data.phantom import make_case  # nilearn's maps load only where they are asked for

    phantom = make_case(index=index, seed=seed)
    d, h, w = phantom.segmentation.shape
    grid = Grid((d, h, w), phantom.affine)
    files = {}
    for role, data in {**phantom.images, SEGMENTATION: phantom.segmentation}.items():
        files[role] = folder / phantom.case / f"{phantom.case}_{role}.nii.gz"
        write_volume(files[role], Volume(data, grid))
    return Case(
        phantom.case,
        files,
        Scheme.BRATS2021,
        phantom.grade,
        phantom.age,
        phantom.survival_days,
        source=f"phantom seed {seed}",
    )


def _copy_case(folder: Path, case: Case) -> Case:
    files = {}
    for role, file in case.files.items():
        suffix = SUFFIX.search(file.name)
        files[role] = folder / case.case / f"{case.case}_{role}{suffix.group() if suffix else ''}"
        files[role].parent.mkdir(exist_ok=True)
        shutil.copyfile(file, files[role])
    return replace(case, files=files)


def detect_schemes(cases: Sequence[Case]) -> list[Case]:
    """Set each case's label scheme to the one that all cases of its naming show together.

    One case seldom tells (it may have no enhancing tumour), so nothing is guessed case by case; where
    no case tells, the naming's own scheme stands.

    Raises:
        CohortError: cases of one naming show both schemes.
    """
    labelled = [case for case in cases if case.labelled]
    seen = map_cases(_shown_scheme, labelled, title="read label schemes")
    known: dict[Scheme, Scheme] = {}
    for naming in Scheme:
        shown = {
            scheme: case.case
            for case, scheme in zip(labelled, seen, strict=True)
            if scheme and case.scheme is naming
        }
        if len(shown) > 1:
            names = ", ".join(f"{name} ({scheme})" for scheme, name in sorted(shown.items()))
            raise CohortError(f"labels: expected one scheme in the cohort, got {names}")
        known[naming] = next(iter(shown), naming)
    return [replace(case, scheme=known[case.scheme]) for case in cases]


def _shown_scheme(case: Case) -> Scheme | None:
    try:
        values = np.unique(read_volume(case.files[SEGMENTATION]).data)
    except VolumeError:
        return None  # the contract names the file; here it just tells nothing
    return detect_scheme(int(value) for value in values if value in (0, 1, 2, 3, 4))
