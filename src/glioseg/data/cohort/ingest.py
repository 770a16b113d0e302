"""Bring a cohort into data/raw: phantoms made here, or a user's files copied byte for byte."""

import os
import shutil
import stat
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glioseg.compute import LOCAL, Cluster
from glioseg.core.files import replaced_whole
from glioseg.core.labels import Scheme
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Grid, Volume, VolumeError, write_volume
from glioseg.data.cohort.case_cache import Record, file_mark, record_cases
from glioseg.data.cohort.case_io import read_stacked
from glioseg.data.cohort.cases import COHORT, Case, find_cases, read_cohort, with_patient_ids, write_cohort
from glioseg.data.cohort.label_schemes import settle_schemes, shown_in
from glioseg.data.cohort.layouts import SUFFIX
from glioseg.params.sections import PhantomPreset


def acquire_phantoms(
    folder: Path,
    *,
    cases: int,
    seed: int,
    preset: PhantomPreset,
    records: Path,
    cluster: Cluster = LOCAL,
) -> list[Case]:
    """Write the built-in cohort: `cases` BraTS-like cases and cohort.csv.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        cases: how many.
        seed: the same seed gives the same bytes.
        preset: how the cohort is drawn, see `glioseg.data.phantom`.
        records: folder of what was made before; see `glioseg.data.cohort.case_cache`.
        cluster: where cases are made.
    """
    indices = range(1, cases + 1)
    work = partial(_write_phantom, seed=seed, preset=preset)
    made = record_cases(
        work,
        indices,
        code=__name__,
        facts=lambda i: [i, seed, preset],
        reads=lambda _: (),
        folder=records / "acquire",
        title="make phantoms",
        cluster=cluster,
    )
    source = f"phantom seed {seed}" + (f", {preset}" if preset != "typical" else "")
    found = [Case(files={}, scheme=Scheme.BRATS2021, source=source, **record.found) for record in made]
    return _place(folder, found, made)


def acquire_folder(
    folder: Path,
    *,
    source: Path,
    scheme: Scheme | None = None,
    patients: Path | None = None,
    records: Path,
    cluster: Cluster = LOCAL,
) -> list[Case]:
    """Copy a user's folder of BraTS or the Decathlon under one naming and list it in cohort.csv.

    The user's own files are copied, never linked: DVC makes what it tracks read-only. A case whose files
    are as they were is not copied again.

    Args:
        folder: where the cohort goes; what it held before is replaced.
        source: the user's folder.
        scheme: of its label maps; without it they tell together.
        patients: a table that tells whose each case is, see `cases.with_patient_ids`; without it names tell.
        records: folder of what was copied before; see `glioseg.data.cohort.case_cache`.
        cluster: where cases are copied.

    Raises:
        CohortError: no case found, two of one name, or cases of one naming in both label schemes.
        TableError: a table of patients that cannot be read, or is not of these cases.
    """
    cases = find_cases(source)
    if patients is not None:
        cases = with_patient_ids(cases, patients)
    copied = record_cases(
        _copy_case,
        cases,
        code=__name__,
        facts=_facts,
        reads=lambda case: [file for file in case.files.values() if os.access(file, os.R_OK)],
        folder=records / "acquire",
        title="copy cases",
        cluster=cluster,
    )
    for line in (line for record in copied for line in record.found["lost"]):
        print(line, file=sys.stderr)
    shown = [record.found["scheme"] for record in copied]
    settled = settle_schemes(cases, [name and Scheme(name) for name in shown], declared=scheme)
    return _place(folder, settled, copied)


def _place(folder: Path, cases: Sequence[Case], records: Sequence[Record]) -> list[Case]:
    with replaced_whole(folder) as aside:
        for case, record in zip(cases, records, strict=True):
            record.place(aside / case.case)
        write_cohort(aside / COHORT, cases)
    return read_cohort(folder / COHORT)


def _write_phantom(index: int, folder: Path, *, seed: int, preset: PhantomPreset) -> dict[str, Any]:
    from glioseg.data.phantom import make_case

    phantom = make_case(index=index, seed=seed, preset=preset)
    d, h, w = phantom.segmentation.shape
    grid = Grid((d, h, w), phantom.affine)
    for role, data in {**phantom.images, SEGMENTATION: phantom.segmentation}.items():
        write_volume(folder / f"{phantom.case}_{role}.nii.gz", Volume(data, grid))
    return {name: getattr(phantom, name) for name in ("case", "grade", "age", "survival_days")}


def _facts(case: Case) -> object:
    files = {
        role: [str(file), file_mark(file), os.access(file, os.R_OK)] for role, file in case.files.items()
    }
    return [case.case, files, case.channels]


def _copy_case(case: Case, folder: Path) -> dict[str, Any]:
    """Copy a case's files byte for byte; of a 4D file each modality becomes a file of its own.

    A file that cannot be read is left out, with a line that says why: its case is refused for it later.
    """
    lost = []
    for role, file in case.files.items():
        if role in case.channels:
            continue
        if why := _unreadable(file):
            lost.append(f"{case.case}/{role} ({file}): expected a file to copy, got {why}")
        else:
            suffix = SUFFIX.search(file.name)
            shutil.copyfile(file, folder / f"{case.case}_{role}{suffix.group() if suffix else ''}")
    try:
        for role, volume in read_stacked(case).items():
            write_volume(folder / f"{case.case}_{role}.nii.gz", volume)
    except VolumeError as error:
        lost += [f"{case.case}/{role}: {error}" for role in case.channels]
    return {"scheme": shown_in(case), "lost": lost}


def _unreadable(file: Path) -> str | None:
    """Why a file cannot be read, or None."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "a folder, a pipe or a device"
        with file.open("rb") as content:
            content.read(1)
    except OSError as error:
        return f"{error.strerror}"
    return None
