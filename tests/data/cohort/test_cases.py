from pathlib import Path

import pytest

from glioseg.core.labels import Scheme
from glioseg.data.cohort.cases import CohortError, find_cases, read_cohort, write_cohort
from glioseg.data.cohort.layouts import match_name

OLD = ("_t1", "_t1ce", "_t2", "_flair", "_seg")
NEW = ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")


def make(folder: Path, name: str, endings, suffix=".nii.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for ending in endings:
        (folder / f"{name}{ending}{suffix}").write_bytes(b"")


def test_both_namings_and_grades(tmp_path):
    make(tmp_path / "HGG" / "Brats18_A", "Brats18_A", OLD)
    make(tmp_path / "LGG" / "Brats18_B", "Brats18_B", OLD[:-1])
    make(tmp_path / "BraTS-GLI-00001-000", "BraTS-GLI-00001-000", NEW)
    new, high, low = find_cases(tmp_path)
    assert (new.case, new.patient, new.scheme) == ("BraTS-GLI-00001-000", "BraTS-GLI-00001", Scheme.BRATS2023)
    assert (high.grade, high.labelled, high.scheme) == ("HGG", True, Scheme.BRATS2021)
    assert (low.grade, low.labelled) == ("LGG", False)
    assert set(new.files) == set(high.files) == {"t1", "t1ce", "t2", "flair", "seg"}
    assert new.files["flair"].name == "BraTS-GLI-00001-000-t2f.nii.gz"


def test_one_case_folder_is_a_cohort_of_one(tmp_path):
    make(tmp_path, "x", OLD, suffix=".nii")
    (case,) = find_cases(tmp_path)
    assert case.case == "x"


@pytest.mark.parametrize("name", ["x_t1.txt", "_t1.nii.gz", "x_adc.nii.gz", ".x_t1.nii.gz", "seg.nii.gz"])
def test_other_files_are_no_case(name):
    assert match_name(name) is None


@pytest.mark.parametrize(
    ("header", "row", "age", "days"),
    [
        ("Brats17ID,Age,Survival", "x,60.5,300", 60.5, 300),
        ("BraTS19ID,Age,Survival,ResectionStatus", "x,60.5,300,GTR", 60.5, 300),
        ("Brats20ID,Age,Survival_days,Extent_of_Resection", "x,60.5,ALIVE (361 days later),GTR", 60.5, None),
    ],
)
def test_age_and_survival_of_each_year(tmp_path, header, row, age, days):
    make(tmp_path / "x", "x", OLD)
    (tmp_path / "survival_data.csv").write_text(f"{header}\n{row}\n")
    (case,) = find_cases(tmp_path)
    assert (case.age, case.survival_days) == (age, days)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(CohortError, match="nowhere: expected a folder"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "scan.dcm").write_bytes(b"")
    known = r"BraTS 2017 to 2021 \(CASE.*; BraTS 2023 and 2024 .*; MSD Task01_BrainTumour"
    with pytest.raises(
        CohortError, match=rf"no case found among 1 files \(scan\.dcm\); known layouts: {known}"
    ):
        find_cases(tmp_path)
    make(tmp_path / "a" / "x", "x", OLD)
    make(tmp_path / "b" / "x", "x", OLD)
    with pytest.raises(CohortError, match="x: two cases have this name"):
        find_cases(tmp_path)


def test_cohort_table_round_trip(tmp_path):
    make(tmp_path / "x", "x", OLD[:2])
    make(tmp_path / "001", "001", OLD, suffix=".nii")
    cases = find_cases(tmp_path)
    write_cohort(tmp_path / "cohort.csv", cases)
    assert read_cohort(tmp_path / "cohort.csv") == cases


def test_cohort_table_must_be_whole(tmp_path):
    with pytest.raises(CohortError, match="No such file"):
        read_cohort(tmp_path / "cohort.csv")
    (tmp_path / "cohort.csv").write_text("case,patient\nx,x\n")
    with pytest.raises(CohortError, match="missing"):
        read_cohort(tmp_path / "cohort.csv")
    (tmp_path / "cohort.csv").write_text("case,patient,scheme,grade,age,survival_days,source\nx,x,no,,,,\n")
    with pytest.raises(CohortError, match="line 2: 'no' is not a valid Scheme"):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize("content", [b"\xff", b"case\n", b"a" * 200_000])
def test_a_cohort_table_that_is_none_is_named(tmp_path, content):
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError, match=r"cohort\.csv: (not a table|expected columns)"):
        read_cohort(tmp_path / "cohort.csv")
