"""A user's table of patients takes effect in the cohort, the contract and the split."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glioseg.compute import Cluster
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import COHORT, Case, read_cohort
from glioseg.data.cohort.clinical import TableError
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.cohort.splits import split_cases
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.expectations import evaluate_table
from glioseg.data.quality.raw_expectations import near_duplicate_cases, raw_tables
from glioseg.params.contract import Contract

THREADS = Cluster("threads")
SHAPE = (36, 36, 36)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
NAMES = ("Ann before", "Ann after", "Bob", "Cem", "Dee", "Eva")


def write_scans(folder: Path, grades: dict[str, str] | None = None) -> Path:
    """Cases whose images are noise; those of the second case are similar to those of the first."""
    rng = np.random.default_rng(0)
    brain = np.zeros(SHAPE, bool)
    brain[3:33, 3:33, 3:33] = True
    first = {name: rng.normal(500, 100, SHAPE) for name in MODALITIES}
    for case in NAMES:
        for role in (*MODALITIES, "seg"):
            image = first[role] if role != "seg" and case == NAMES[0] else rng.normal(500, 100, SHAPE)
            if role != "seg" and case == NAMES[1]:
                image = first[role] + 0.5 * (image - 500)
            data = np.zeros(SHAPE, np.uint8) if role == "seg" else (image * brain).astype(np.int16)
            if role == "seg":
                data[9:20, 9:20, 9:20], data[12:15, 12:15, 12:15] = 2, 4
            grade = (grades or {}).get(case, "")
            write_volume(folder / grade / case / f"{case}_{role}.nii.gz", Volume(data, GRID))
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("scans"), {NAMES[0]: "LGG", NAMES[1]: "HGG"})


def write_table(path: Path, *rows: str, head: str = "case,patient") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


VISITS = [f"{name},{name.split()[0]}" for name in NAMES]


def acquire(home: Path, scans: Path, table: Path | None) -> list[Case]:
    records = home / "records"
    acquire_folder(home / "raw", source=scans, patients=table, records=records, cluster=THREADS)
    return read_cohort(home / "raw" / COHORT)


def test_the_cohort_has_the_patients_of_the_table(tmp_path: Path, scans: Path) -> None:
    cases = acquire(tmp_path, scans, write_table(tmp_path / "patients.csv", *VISITS))
    assert {case.case: case.patient for case in cases} == {name: name.split()[0] for name in NAMES}
    assert {case.patient for case in acquire(tmp_path, scans, None)} == set(NAMES)


def test_a_table_from_excel_is_read(tmp_path: Path, scans: Path) -> None:
    table = tmp_path / "patients.csv"
    rows = [f"60, {name} , {name.split()[0]} " for name in NAMES]
    table.write_bytes("\r\n".join(["Age, Case,Patient", *rows]).encode("utf-8-sig"))
    assert {case.patient for case in acquire(tmp_path, scans, table)} == {"Ann", "Bob", "Cem", "Dee", "Eva"}


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (VISITS[1:], "case,patient", "expected a row for each case, missing Ann before"),
        ([], "case,patient", "expected a row for each case, missing Ann after, Ann before, Bob and 3 more"),
        ([*VISITS, "Fay,Fay"], "case,patient", "expected cases of the cohort, got Fay"),
        ([*VISITS, "Bob,Ann"], "case,patient", "expected one row for each case, got more for Bob"),
        ([*VISITS, "Bob,Bob"], "case,patient", "expected one row for each case, got more for Bob"),
        ([*VISITS[1:], "Ann before,"], "case,patient", "a case and its patient in each row, got Ann before,"),
        ([*VISITS, ",Bob"], "case,patient", "a case and its patient in each row, got ,Bob"),
        (VISITS, "case;patient", "expected columns case and patient, got case;patient"),
        (VISITS, "id,patient", "expected columns case and patient, got id, patient"),
    ],
)
def test_a_table_of_other_cases_is_an_error_of_one_line(
    tmp_path: Path, scans: Path, rows: list[str], head: str, message: str
) -> None:
    table = write_table(tmp_path / "patients.csv", *rows, head=head)
    with pytest.raises(TableError) as error:
        acquire(tmp_path, scans, table)
    assert str(error.value).startswith(f"{table}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "records").exists()  # the error comes before anything is copied


def test_a_missing_table_is_an_error_of_one_line(tmp_path: Path, scans: Path) -> None:
    with pytest.raises(TableError, match=r"nowhere\.csv: not a table of patients: .*No such file"):
        acquire(tmp_path, scans, tmp_path / "nowhere.csv")


def test_visits_may_be_similar_but_not_of_two_grades(tmp_path: Path, scans: Path) -> None:
    """Noise of half the size leaves a correlation of 1 / √1.25 = 0.89: above 0.7 and below 0.98."""

    def validate(table: Path | None) -> tuple[list, set[str]]:
        cases = acquire(tmp_path, scans, table)
        volumes = measure_cohort(cases, records=tmp_path / "records", cluster=THREADS)
        found = {
            f.expectation for table in raw_tables(cases, volumes, Contract()) for f in evaluate_table(table)
        }
        pairs = near_duplicate_cases(cases, volumes, Contract())
        return pairs, found & {"near duplicate", "one grade"}

    assert validate(None) == ([("Ann after", "Ann before")], {"near duplicate"})
    assert validate(write_table(tmp_path / "patients.csv", *VISITS)) == ([], {"one grade"})


def test_all_cases_of_a_patient_are_in_one_part(tmp_path: Path, scans: Path) -> None:
    cases = acquire(tmp_path, scans, write_table(tmp_path / "patients.csv", *VISITS))
    manifest = pd.DataFrame([{"case": case.case, "patient": case.patient, "grade": None} for case in cases])
    manifest = manifest.assign(ncr_vox=1, ed_vox=range(len(cases)), et_vox=1)
    for seed in range(20):
        splits = split_cases(manifest, seed=seed, test_fraction=0.2, validation_fraction=0.2, folds=3)
        parts = [splits["train"], splits["validation"], splits["test"]]
        assert sum("Ann before" in part and "Ann after" in part for part in parts) == 1
