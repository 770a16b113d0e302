"""Grade, age and survival from the tables of each year of BraTS."""

from pathlib import Path

import pytest

from glioseg.data.cohort.clinical import ClinicalData, TableError, read_clinical_tables


def write_table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("Brats17ID,Age,Survival", "x,60.5,300", ClinicalData(None, 60.5, 300.0)),
        ("BraTS19ID,Age,Survival,ResectionStatus", "x,60.5,300,GTR", ClinicalData(None, 60.5, 300.0)),
        (
            "Brats20ID,Age,Survival_days,Extent_of_Resection",
            "x,60.5,ALIVE (361 days later),GTR",
            ClinicalData(None, 60.5, None),
        ),
    ],
)
def test_age_and_survival_of_each_year(tmp_path, header, row, expected):
    assert read_clinical_tables([write_table(tmp_path / "survival_data.csv", header, row)]) == {"x": expected}


def test_every_name_of_a_case_in_a_mapping_has_its_grade(tmp_path):
    header = "Grade,BraTS_2017_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID"
    table = write_table(
        tmp_path / "name_mapping.csv", header, "HGG,Brats17_A,NA,BraTS19_A", "?,NA,NA,BraTS19_B"
    )
    high = ClinicalData("HGG")
    assert read_clinical_tables([table]) == {"Brats17_A": high, "BraTS19_A": high}


@pytest.mark.parametrize("text", ["ALIVE (361 days later)", "nan", "inf", "-Infinity", "1e999", ""])
def test_a_value_that_is_no_finite_number_is_unknown(tmp_path, text):
    table = write_table(tmp_path / "survival_data.csv", "BraTS18ID,Age,Survival", f"A,{text},{text}")
    assert read_clinical_tables([table]) == {"A": ClinicalData()}


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    table = tmp_path / "survival_data.csv"
    table.write_bytes(b"Brats17ID,Age\n\xff\xfe,60\n")
    with pytest.raises(TableError, match=r"survival_data\.csv: not a table of patients: "):
        read_clinical_tables([table])


def test_other_files_are_ignored(tmp_path):
    assert read_clinical_tables([write_table(tmp_path / "notes.csv", "BraTS18ID,Age", "A,60")]) == {}
