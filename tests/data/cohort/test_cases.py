"""Cases in cohort.csv, and the scans of a case."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.data.cohort.cases import (
    Case,
    CohortError,
    open_scans,
    read_cases,
    read_cohort,
    write_cohort,
)


def touch_case(folder: Path, case: Case, suffix: str) -> Case:
    """Write the files of a case without content, and return the case with them."""
    (folder / case.case).mkdir()
    files = {role: folder / case.case / f"{case.case}_{role}{suffix}" for role in ROLES}
    for file in files.values():
        file.write_bytes(b"")
    return replace(case, files=files)


def test_cohort_table_round_trip(tmp_path):
    cases = [
        touch_case(
            tmp_path, Case("001", {}, LabelScheme.BRATS2023, "HGG", 60.5, 300.0, "here", patient="p"), ".nii"
        ),
        touch_case(tmp_path, Case("x", {}, LabelScheme.BRATS2021), ".nii.gz"),
    ]
    write_cohort(tmp_path / "cohort.csv", cases)
    assert read_cohort(tmp_path / "cohort.csv") == cases
    assert read_cases(tmp_path / "cohort.csv", ["x"]) == cases[1:]
    with pytest.raises(CohortError, match=r"cohort\.csv: expected 2 cases, missing y, z"):
        read_cases(tmp_path / "cohort.csv", ["z", "y"])


def test_a_cohort_table_must_be_complete(tmp_path):
    with pytest.raises(CohortError, match="No such file"):
        read_cohort(tmp_path / "cohort.csv")
    (tmp_path / "cohort.csv").write_text("case,patient\nx,x\n")
    with pytest.raises(CohortError, match="missing"):
        read_cohort(tmp_path / "cohort.csv")
    (tmp_path / "cohort.csv").write_text("case,patient,scheme,grade,age,survival_days,source\nx,x,no,,,,\n")
    with pytest.raises(CohortError, match="line 2: 'no' is not a valid LabelScheme"):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize("content", [b"\xff", b"case\n", b"a" * 200_000])
def test_a_file_that_is_no_cohort_table_is_named(tmp_path, content):
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError, match=r"cohort\.csv: (not a table|expected columns)"):
        read_cohort(tmp_path / "cohort.csv")


def test_a_scan_is_opened_or_has_its_problem(tmp_path):
    shape = (4, 3, 2)
    volume = Volume(np.ones(shape, np.int16), Grid(shape, np.diag([-1.0, -1, 1, 1])))
    (tmp_path / "t1.nii").write_bytes(encode_volume(volume, compress=False))
    (tmp_path / "t2.nii").write_bytes(b"no NIfTI")
    files = {m: tmp_path / f"{m}.nii" for m in ("t1", "t2", "flair")}
    scans = open_scans(Case("one", files, LabelScheme.BRATS2021), MODALITIES)
    assert (scans["t1"].problem, scans["t1"].file) == (None, "t1.nii")
    assert str(scans["t2"].problem).startswith("not a NIfTI file: ")
    assert scans["flair"].problem == "not readable: No such file or directory"
