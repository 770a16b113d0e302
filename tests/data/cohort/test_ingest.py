"""Cohorts in data/raw: copies of a user's folder, label schemes, and phantoms."""

import os
import shutil
import stat

import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.data.cohort.cases import CohortError, read_cohort
from glioseg.data.cohort.ingest import acquire_folder, acquire_phantoms, detect_case_scheme
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.cohort.unread import Unread, read_unread
from tests.helpers.brats_folders import GRID, SINCE_2023, UNTIL_2021, write_case

THREADS = Cluster("threads", 1)


def write(folder, name, *, et, naming=None):
    for role in (*MODALITIES, "seg"):
        data = np.full(GRID.shape, et if role == "seg" else 5, np.int16)
        ending = naming[role] if naming else f"_{role}"
        write_volume(folder / name / f"{name}{ending}.nii.gz", Volume(data, GRID))


def test_files_are_copied_byte_for_byte_under_one_naming(tmp_path):
    source, raw = tmp_path / "mine", tmp_path / "raw"
    write(source, "A", et=4)
    write(source, "B", et=3, naming=SINCE_2023)
    acquire_folder(raw, source=source, records=tmp_path / "records")
    a, b = read_cohort(raw / "cohort.csv")
    assert (a.scheme, b.scheme) == (LabelScheme.BRATS2021, LabelScheme.BRATS2023)
    assert b.source == str(source / "B")
    assert b.files["flair"] == raw / "B" / "B_flair.nii.gz"
    original = source / "B" / "B-t2f.nii.gz"
    assert b.files["flair"].read_bytes() == original.read_bytes()
    assert os.stat(original).st_nlink == 1
    assert os.stat(original).st_mode & stat.S_IWUSR


def inodes(raw):
    return {file.name: file.stat().st_ino for file in raw.rglob("*.nii.gz")}


def test_only_a_changed_case_is_copied_again(tmp_path):
    source, raw, records = tmp_path / "mine", tmp_path / "raw", tmp_path / "records"
    write(source, "A", et=4)
    write(source, "B", et=4)
    acquire_folder(raw, source=source, records=records)
    before = inodes(raw)
    write(source, "C", et=4)
    write_volume(source / "B" / "B_t1.nii.gz", Volume(np.full(GRID.shape, 9, np.int16), GRID))
    assert [case.case for case in acquire_folder(raw, source=source, records=records)] == ["A", "B", "C"]
    after = inodes(raw)
    same = {name for name, inode in before.items() if after[name] == inode}
    assert same == {f"A_{role}.nii.gz" for role in (*MODALITIES, "seg")}
    assert read_volume(raw / "B" / "B_t1.nii.gz").data.max() == 9
    shutil.rmtree(source / "A")
    assert [case.case for case in acquire_folder(raw, source=source, records=records)] == ["B", "C"]
    assert not (raw / "A").exists()


def test_the_label_maps_decide_the_scheme_and_not_the_names(tmp_path):
    write(tmp_path / "mine", "A", et=3)
    write(tmp_path / "mine", "B", et=1)
    cases = acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert [case.scheme for case in cases] == [LabelScheme.BRATS2023] * 2


def test_both_schemes_under_one_naming_are_refused_and_no_cohort_is_left(tmp_path):
    write(tmp_path / "mine", "A", et=3)
    write(tmp_path / "mine", "B", et=4)
    with pytest.raises(
        CohortError, match=r"one scheme in the cohort, got brats2021 in B, brats2023 in A; .*data\.scheme"
    ):
        acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "records"]


def test_an_unreadable_segmentation_is_copied_for_the_contract_to_refuse(tmp_path):
    write(tmp_path / "mine", "A", et=4)
    (tmp_path / "mine" / "A" / "A_seg.nii.gz").write_bytes(b"broken")
    (case,) = acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert case.files["seg"].read_bytes() == b"broken"


def test_phantoms_form_a_cohort(tmp_path):
    acquire_phantoms(tmp_path / "raw", cases=1, seed=4, preset="typical", records=tmp_path / "records")
    (case,) = read_cohort(tmp_path / "raw" / "cohort.csv")
    assert case.labelled
    assert case.grade in ("HGG", "LGG")
    assert {read_volume(file).grid.shape for file in case.files.values()} == {(240, 240, 155)}


def test_the_scheme_of_2021(tmp_path):
    write_case(tmp_path, "BraTS2021_00000", UNTIL_2021)
    (case,) = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert (case.case, case.grade, case.scheme) == ("BraTS2021_00000", None, LabelScheme.BRATS2021)


def test_the_scheme_of_2023(tmp_path):
    training = tmp_path / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData"
    write_case(training, "BraTS-GLI-00000-000", SINCE_2023, labels=(0, 1, 2, 3))
    write_case(training, "BraTS-GLI-00000-001", SINCE_2023, labels=(0, 1, 2))
    one, other = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert one.patient == other.patient == "BraTS-GLI-00000"
    assert one.scheme is other.scheme is LabelScheme.BRATS2023


def test_one_unambiguous_case_of_2024_decides_for_all(tmp_path):
    write_case(tmp_path, "BraTS-GLI-02062-100", SINCE_2023, labels=(0, 1, 2, 3, 4))
    write_case(tmp_path, "BraTS-GLI-02062-101", SINCE_2023, labels=(0, 2, 4))
    write_case(tmp_path, "BraTS-GLI-02063-100", SINCE_2023, labels=(0, 3))
    cases = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert {case.scheme for case in cases} == {LabelScheme.BRATS2024}


def test_a_mixture_of_schemes_is_refused_unless_one_is_declared(tmp_path):
    source = tmp_path / "mine"
    for index in range(5):
        write_case(source, f"A{index}", UNTIL_2021)
    write_case(source, "B", UNTIL_2021, labels=(0, 3))
    expected = r"got brats2021 in A0, A1, A2 and 2 more, brats2023 in B; if it is one, declare data\.scheme"
    with pytest.raises(CohortError, match=expected):
        acquire_folder(tmp_path / "raw", source=source, records=tmp_path / "records")
    cases = acquire_folder(
        tmp_path / "raw", source=source, scheme=LabelScheme.BRATS2021, records=tmp_path / "records"
    )
    assert {case.scheme for case in cases} == {LabelScheme.BRATS2021}


def test_before_2023_a_3_beside_a_4_does_not_make_a_cavity(tmp_path):
    write_case(tmp_path, "A", UNTIL_2021, labels=(0, 3, 4))
    write_case(tmp_path, "B", UNTIL_2021)
    cases = acquire_folder(tmp_path / "raw", source=tmp_path, records=tmp_path / "records")
    assert {case.scheme for case in cases} == {LabelScheme.BRATS2021}


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_labels_that_are_no_numbers_have_no_scheme(tmp_path, dtype):
    write_case(tmp_path, "A", UNTIL_2021)
    write_volume(tmp_path / "A" / "A_seg.nii.gz", Volume(np.full(GRID.shape, 4).astype(dtype), GRID))
    (case,) = find_cases(tmp_path)
    assert detect_case_scheme(case) is None


def test_unread_files_are_listed_beside_the_cohort_and_reported(tmp_path, capsys):
    write_case(tmp_path / "mine", "A", UNTIL_2021)
    folder = tmp_path / "mine" / "A"
    (folder / "A_t2.nii.gz").rename(folder / "A_T2.NII.GZ")
    (folder / "A_adc.nii.gz").write_bytes(b"")
    (case,) = acquire_folder(
        tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records", cluster=THREADS
    )
    assert case.files["t2"].name == "A_t2.nii.gz"
    assert read_unread(tmp_path / "raw" / "unread.csv") == [Unread(folder / "A_adc.nii.gz", "no role")]
    assert f"{folder / 'A_adc.nii.gz'}: not read: no role; known: " in capsys.readouterr().err


def test_a_cohort_is_copied_by_a_pattern(tmp_path):
    write_case(tmp_path / "mine", "A", {"t1": ".one", "seg": ".truth"})
    pattern = {"t1": "{case}.one.nii.gz", "seg": "{case}.truth.nii.gz"}
    (case,) = acquire_folder(
        tmp_path / "raw",
        source=tmp_path / "mine",
        pattern=pattern,
        records=tmp_path / "records",
        cluster=THREADS,
    )
    assert (case.case, sorted(case.files)) == ("A", ["seg", "t1"])
