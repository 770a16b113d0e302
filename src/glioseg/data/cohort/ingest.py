"""Bring a cohort into data/raw: write phantoms, or copy a user's files byte for byte."""

import os
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glioseg.compute import LOCAL, Cluster
from glioseg.core.files import replace_folder_atomic
from glioseg.core.labels import LabelScheme, detect_scheme
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Grid, Volume, VolumeError, read_volume, write_volume
from glioseg.data.cohort.case_cache import CacheEntry, file_signature, map_cached
from glioseg.data.cohort.cases import (
    COHORT,
    Case,
    CohortError,
    read_cohort,
    read_stacked,
    with_patient_ids,
    write_cohort,
)
from glioseg.data.cohort.clinical import first_few
from glioseg.data.cohort.file_names import NIFTI_SUFFIX
from glioseg.data.cohort.layouts import search_folder
from glioseg.data.cohort.unread import UNREAD, Unread, write_unread
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
    """Write the built-in cohort: synthetic BraTS-like cases and cohort.csv.

    Args:
        folder: of the cohort; its previous content is replaced.
        cases: number of cases.
        seed: the same seed gives the same bytes.
        preset: the distribution of the cases, see `glioseg.data.phantom`.
        records: folder of the per-case cache; see `glioseg.data.cohort.case_cache`.
        cluster: workers that render the cases.
    """
    indices = range(1, cases + 1)
    work = partial(_write_phantom, seed=seed, preset=preset)
    entries = map_cached(
        work,
        indices,
        code=__name__,
        key=lambda i: [i, seed, preset],
        inputs=lambda _: (),
        folder=records / "acquire",
        title="make phantoms",
        cluster=cluster,
    )
    source = f"phantom seed {seed}" + (f", {preset}" if preset != "typical" else "")
    phantoms = [
        Case(files={}, scheme=LabelScheme.BRATS2021, source=source, **entry.result) for entry in entries
    ]
    return _write_folder(folder, phantoms, entries)


def acquire_folder(
    folder: Path,
    *,
    source: Path,
    scheme: LabelScheme | None = None,
    patients: Path | None = None,
    pattern: Mapping[str, str] | None = None,
    records: Path,
    cluster: Cluster = LOCAL,
) -> list[Case]:
    """Copy the cases of a user's folder, rename their files, write cohort.csv and unread.csv.

    The user's own files are copied, never linked: DVC makes the files that it tracks read-only. Cases with
    unchanged files are not copied again.

    Args:
        folder: of the cohort; its previous content is replaced.
        source: the user's folder.
        scheme: label scheme of the cohort; with None, it is detected from all label maps.
        patients: a table with the patient of each case, see `cases.with_patient_ids`; with None, the names
            of the cases determine the patients.
        pattern: the files of each role, if the table of file names does not know them; see `pattern`.
        records: folder of the per-case cache; see `glioseg.data.cohort.case_cache`.
        cluster: workers that copy the cases.

    Raises:
        CohortError: there is no case, two cases have the same name, or cases of one layout have different
            label schemes.
        TableError: the table of patients cannot be read, or lists other cases.
    """
    search = search_folder(source, pattern=pattern)
    for line in search.lines:
        print(line, file=sys.stderr)
    cases = search.cases
    if patients is not None:
        cases = with_patient_ids(cases, patients)
    entries = map_cached(
        _copy_case,
        cases,
        code=__name__,
        key=_cache_key,
        inputs=lambda case: [file for file in case.files.values() if os.access(file, os.R_OK)],
        folder=records / "acquire",
        title="copy cases",
        cluster=cluster,
    )
    for line in (line for entry in entries for line in entry.result["lost"]):
        print(line, file=sys.stderr)
    names = [entry.result["scheme"] for entry in entries]
    cases = resolve_schemes(cases, [name and LabelScheme(name) for name in names], declared=scheme)
    return _write_folder(folder, cases, entries, search.unread)


def _write_folder(
    folder: Path, cases: Sequence[Case], entries: Sequence[CacheEntry], unread: Sequence[Unread] = ()
) -> list[Case]:
    with replace_folder_atomic(folder) as new:
        for case, entry in zip(cases, entries, strict=True):
            entry.link_files(new / case.case)
        write_cohort(new / COHORT, cases)
        if unread:
            write_unread(new / UNREAD, unread)
    return read_cohort(folder / COHORT)


def _write_phantom(index: int, folder: Path, *, seed: int, preset: PhantomPreset) -> dict[str, Any]:
    from glioseg.data.phantom import make_case

    phantom = make_case(index=index, seed=seed, preset=preset)
    d, h, w = phantom.segmentation.shape
    grid = Grid((d, h, w), phantom.affine)
    for role, data in {**phantom.images, SEGMENTATION: phantom.segmentation}.items():
        write_volume(folder / f"{phantom.case}_{role}.nii.gz", Volume(data, grid))
    return {name: getattr(phantom, name) for name in ("case", "grade", "age", "survival_days")}


def _cache_key(case: Case) -> object:
    files = {
        role: [str(file), file_signature(file), os.access(file, os.R_OK)] for role, file in case.files.items()
    }
    return [case.case, files, case.channels]


def _copy_case(case: Case, folder: Path) -> dict[str, Any]:
    """Copy a case's files byte for byte; a 4D file is split into one file per modality.

    A file that cannot be read is left out and reported; its case is then refused.
    """
    lost = []
    for role, file in case.files.items():
        if role in case.channels:
            continue
        if reason := _why_unreadable(file):
            lost.append(f"{case.case}/{role} ({file}): expected a file to copy, got {reason}")
        else:
            suffix = NIFTI_SUFFIX.search(file.name)
            ending = suffix.group().lower() if suffix else ".nii"
            shutil.copyfile(file, folder / f"{case.case}_{role}{ending}")
    try:
        for role, volume in read_stacked(case).items():
            write_volume(folder / f"{case.case}_{role}.nii.gz", volume)
    except VolumeError as error:
        lost += [f"{case.case}/{role}: {error}" for role in case.channels]
    return {"scheme": detect_case_scheme(case), "lost": lost}


def _why_unreadable(file: Path) -> str | None:
    """The reason why a file cannot be read, or None."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "a folder, a pipe or a device"
        with file.open("rb") as content:
            content.read(1)
    except OSError as error:
        return f"{error.strerror}"
    return None


def resolve_schemes(
    cases: Sequence[Case], detected: Sequence[LabelScheme | None], *, declared: LabelScheme | None = None
) -> list[Case]:
    """Cases with the label scheme that is detected from the label maps of all cases of their layout.

    A single case is often ambiguous (it may have no enhancing tumour), so the cases of a layout share one
    scheme. If all of them are ambiguous, the usual scheme of the layout is used. The Decathlon and BraTS-PED
    have one.

    Args:
        cases: as from `find_cases`, each with the usual scheme of its layout.
        detected: the scheme of each case, as from `detect_case_scheme`.
        declared: the scheme of all cases, if the user sets `data.scheme`.

    Raises:
        CohortError: cases of one layout have different schemes.
    """
    if declared:
        return [replace(case, scheme=declared) for case in cases]
    resolved = {case.scheme: case.scheme for case in cases if not case.scheme.is_detectable}
    for usual in {case.scheme for case in cases} - resolved.keys():
        cases_by_scheme: dict[LabelScheme, list[str]] = {}
        for case, scheme in zip(cases, detected, strict=True):
            if scheme and case.scheme is usual:
                cases_by_scheme.setdefault(scheme, []).append(case.case)
        resolved[usual] = _resolve_scheme(usual, cases_by_scheme)
    return [replace(case, scheme=resolved[case.scheme]) for case in cases]


def labelled_cases(folders: Sequence[Path]) -> list[Case]:
    """The cases with a segmentation, each with the label scheme of its own folder's collection.

    Args:
        folders: folders with cases, in any layout.

    Raises:
        CohortError: a folder has no case, or cases of one layout have different schemes.
    """
    cases = []
    for folder in folders:
        found = [case for case in search_folder(folder).cases if case.labelled]
        cases += resolve_schemes(found, [detect_case_scheme(case) for case in found])
    return cases


def detect_case_scheme(case: Case) -> LabelScheme | None:
    """The scheme of a case's label map; None if it is ambiguous or cannot be read."""
    if not case.labelled or not case.scheme.is_detectable:
        return None
    try:
        volume = read_volume(case.files[SEGMENTATION])
    except VolumeError:
        return None  # validation reports the file
    values = np.unique(volume.data) if volume.is_numeric else ()
    return detect_scheme(int(value) for value in values if value in (0, 1, 2, 3, 4))


def _resolve_scheme(usual: LabelScheme, cases_by_scheme: Mapping[LabelScheme, Sequence[str]]) -> LabelScheme:
    """The scheme of a layout, from the names of the cases with each detected scheme.

    After treatment some cases have only a cavity or only enhancing tumour, and thus the values of another
    scheme; a case with both is unambiguous. Before 2023 there was no cavity: 3 with 4 violates the contract.
    """
    if usual is LabelScheme.BRATS2023 and LabelScheme.BRATS2024 in cases_by_scheme:
        return LabelScheme.BRATS2024
    possible = {
        scheme: names for scheme, names in cases_by_scheme.items() if scheme is not LabelScheme.BRATS2024
    }
    if len(possible) > 1:
        got = ", ".join(f"{scheme} in {first_few(names)}" for scheme, names in sorted(possible.items()))
        raise CohortError(
            f"labels: expected one scheme in the cohort, got {got}; if it is one, declare data.scheme"
        )
    return next(iter(possible), usual)
