"""The inventory of a folder changes only with the size and time of each file."""

import os
from pathlib import Path

import pytest

from glioseg.data.cohort.cases import CohortError
from glioseg.data.cohort.inventory import take_inventory, walk_files

COHORT = Path("data/raw")


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2, second.nii.gz", "a/1.nii.gz"):
        (tmp_path / "x" / name).parent.mkdir(parents=True)
        (tmp_path / "x" / name).write_bytes(b"four")
        os.utime(tmp_path / "x" / name, ns=(7, 7))
    return tmp_path / "x"


def test_every_file_is_listed_with_size_and_time(folder):
    assert take_inventory(folder, cohort=COHORT).splitlines() == [
        "file,bytes,mtime_ns",
        "a/1.nii.gz,4,7",
        '"b/2, second.nii.gz",4,7',
    ]


def test_a_moved_folder_has_the_same_inventory(folder):
    before = take_inventory(folder, cohort=COHORT)
    assert take_inventory(folder.rename(folder.with_name("y")), cohort=COHORT) == before


def test_a_dangling_link_is_listed(folder):
    (folder / "a" / "0.nii.gz").symlink_to("nowhere")
    assert take_inventory(folder, cohort=COHORT).splitlines()[1] == "a/0.nii.gz"


def test_a_table_of_patients_outside_the_folder_is_listed(folder, tmp_path):
    table = tmp_path / "elsewhere" / "visits.csv"
    table.parent.mkdir()
    table.write_text("case,patient\n")
    os.utime(table, ns=(8, 8))
    listed = take_inventory(folder, cohort=COHORT, patients=table)
    assert listed.splitlines()[3:] == ["data.patients: visits.csv,13,8"]
    table.write_text("case,patient\n1,1\n")
    assert take_inventory(folder, cohort=COHORT, patients=table) != listed
    with pytest.raises(CohortError, match=r"nowhere\.csv: expected a table of patients, found none"):
        take_inventory(folder, cohort=COHORT, patients=tmp_path / "nowhere.csv")


def test_without_a_folder_there_is_only_a_header():
    assert take_inventory(None, cohort=COHORT) == "file,bytes,mtime_ns\n"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CohortError, match="nowhere: expected a folder of cases, found none"):
        take_inventory(tmp_path / "nowhere", cohort=COHORT)


def test_folders_of_the_file_system_are_skipped_with_a_line(folder):
    for name in ("lost+found", ".snapshot/hourly", ".Trash-1000/files", "a/@eaDir"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x_t1.nii.gz").write_bytes(b"")
    lines = []
    found = [str(here.relative_to(folder)) for here, _ in walk_files(folder, skipped=lines.append)]
    assert found == [".", "a", "b"]
    skipped = [".Trash-1000", ".snapshot", "lost+found", "a/@eaDir"]
    assert lines == [f"{folder / name}: skipped: a folder of the file system" for name in skipped]
    assert len(take_inventory(folder, cohort=COHORT).splitlines()) == 3


def test_an_unreadable_folder_is_skipped_with_a_line(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path) == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    refused, lines = folder / "a", []
    monkeypatch.setattr(os, "scandir", refuse)
    assert [here for here, _ in walk_files(folder, skipped=lines.append)] == [folder, folder / "b"]
    assert lines == [f"{refused}: skipped: not readable: Permission denied"]
    refused = folder
    with pytest.raises(CohortError, match="x: not readable: Permission denied"):
        list(walk_files(folder))
