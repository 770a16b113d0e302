import os
import shutil
import stat

import numpy as np
import pytest

from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import CohortError, read_cohort
from glioseg.data.cohort.ingest import acquire_folder, acquire_phantoms

GRID = Grid((3, 3, 3), np.eye(4))
NEW = {"t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "flair": "-t2f", "seg": "-seg"}


def write(folder, name, *, et, naming=None):
    for role in (*MODALITIES, "seg"):
        data = np.full(GRID.shape, et if role == "seg" else 5, np.int16)
        ending = naming[role] if naming else f"_{role}"
        write_volume(folder / name / f"{name}{ending}.nii.gz", Volume(data, GRID))


def test_files_are_copied_byte_for_byte_under_one_naming(tmp_path):
    source, raw = tmp_path / "mine", tmp_path / "raw"
    write(source, "A", et=4)
    write(source, "B", et=3, naming=NEW)
    acquire_folder(raw, source=source, records=tmp_path / "records")
    a, b = read_cohort(raw / "cohort.csv")
    assert (a.scheme, b.scheme) == (Scheme.BRATS2021, Scheme.BRATS2023)
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


def test_scheme_is_what_the_cohort_shows_not_what_its_names_promise(tmp_path):
    write(tmp_path / "mine", "A", et=3)
    write(tmp_path / "mine", "B", et=1)
    cases = acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert [case.scheme for case in cases] == [Scheme.BRATS2023] * 2


def test_both_schemes_under_one_naming_are_refused_and_no_cohort_is_left(tmp_path):
    write(tmp_path / "mine", "A", et=3)
    write(tmp_path / "mine", "B", et=4)
    with pytest.raises(
        CohortError, match=r"one scheme in the cohort, got brats2021 in B, brats2023 in A; .*data\.scheme"
    ):
        acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "records"]


def test_an_unreadable_segmentation_is_left_to_the_contract(tmp_path):
    write(tmp_path / "mine", "A", et=4)
    (tmp_path / "mine" / "A" / "A_seg.nii.gz").write_bytes(b"broken")
    (case,) = acquire_folder(tmp_path / "raw", source=tmp_path / "mine", records=tmp_path / "records")
    assert case.files["seg"].read_bytes() == b"broken"


def test_phantoms_are_a_cohort(tmp_path):
    acquire_phantoms(tmp_path / "raw", cases=1, seed=4, preset="typical", records=tmp_path / "records")
    (case,) = read_cohort(tmp_path / "raw" / "cohort.csv")
    assert case.labelled
    assert case.grade in ("HGG", "LGG")
    assert {read_volume(file).grid.shape for file in case.files.values()} == {(240, 240, 155)}
