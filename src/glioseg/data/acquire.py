"""Bring a cohort into data/raw: phantoms made here, or a user's files copied byte for byte."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from glioseg.cluster import map_cases
from glioseg.data.cases import COHORT, Case, find_cases, read_cohort, write_cohort
from glioseg.data.layouts import SEGMENTATION, SUFFIX
from glioseg.data.scans import read_stacked
from glioseg.data.schemes import settle_schemes
from glioseg.data.volumes import Grid, Volume, write_volume
from glioseg.files import replaced_whole
from glioseg.labels import Scheme

Item = TypeVar("Item")


def acquire_phantoms(folder: Path, *, cases: int, seed: int) -> list[Case]:
    """Write the built-in cohort: `cases` BraTS-like cases and cohort.csv.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        cases: how many.
        seed: the same seed gives the same bytes.
    """
    return _acquire(folder, partial(_write_phantom, seed=seed), range(1, cases + 1), "make phantoms")


def acquire_folder(folder: Path, *, source: Path, scheme: Scheme | None = None) -> list[Case]:
    """Copy a user's folder of BraTS or the Decathlon under one naming and list it in cohort.csv.

    The user's own files are copied, never linked: DVC makes what it tracks read-only.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        source: the user's folder.
        scheme: of its label maps; without it they tell together.

    Raises:
        CohortError: no case found, two of one name, or cases of one naming in both label schemes.
    """
    cases = settle_schemes(find_cases(source), declared=scheme)
    return _acquire(folder, _copy_case, cases, "copy cases")


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
    """Copy a case's files byte for byte; of a 4D file each modality becomes a file of its own."""
    home, files = folder / case.case, {}
    home.mkdir()
    for role, file in case.files.items():
        if role not in case.channels:
            suffix = SUFFIX.search(file.name)
            files[role] = home / f"{case.case}_{role}{suffix.group() if suffix else ''}"
            shutil.copyfile(file, files[role])
    for role, volume in read_stacked(case).items():
        files[role] = home / f"{case.case}_{role}.nii.gz"
        write_volume(files[role], volume)
    return replace(case, files=files, channels={})
