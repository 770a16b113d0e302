"""Versions of a cohort: what changed, going back, and clearing away, with the user's own scans left alone."""

import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.nifti import Volume, read_volume, write_volume
from tests.helpers.projects import command, commit, succeed, write_case

CHANGED = "data/raw/Patient 2/Patient 2_t1.nii.gz"


@pytest.fixture(scope="module")
def mine(clone: Path) -> dict[str, tuple]:
    """The user's scans before anything is done with them; one differs from those that were pulled."""
    for index in range(8):
        write_case(clone / "scans", index)
    file = clone / "scans" / "Patient 2" / "Patient 2_t1.nii.gz"
    scan = read_volume(file)
    write_volume(
        file, Volume(np.where(scan.data > 0, scan.data**2 // 100 + 1, 0).astype(np.int16), scan.grid)
    )
    before = marks(clone / "scans")
    succeed(clone, "dvc", "repro", "validate_cropped")
    return before


def marks(folder: Path) -> dict[str, tuple]:
    """All that tells whether files were touched: content, inode, permissions, number of names, time."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    stats = {str(file): file.stat() for file in files}
    return {
        str(file): (sha256(file.read_bytes()).hexdigest(), s.st_ino, s.st_mode, s.st_nlink, s.st_mtime_ns)
        for file, s in zip(files, stats.values(), strict=True)
    }


def test_diff_names_the_case_that_changed(clone, mine):
    diff = json.loads(succeed(clone, "dvc", "diff", "--json"))
    assert changed(diff["modified"], "data/raw") == {CHANGED}
    cropped = changed(diff["modified"], "data/cropped")
    assert {Path(file).parent.name for file in cropped} == {"Patient 2"}
    for kind in ("added", "deleted", "renamed"):
        assert not changed(diff[kind], "data/")


def changed(entries: list[dict], folder: str) -> set[str]:
    """The files of cases that an entry of `dvc diff` names."""
    return {entry["path"] for entry in entries if re.match(f"{folder}.*/Patient", str(entry["path"]))}


def test_the_user_s_own_scans_are_as_they_were(clone, mine):
    succeed(clone, "dvc", "commit", "acquire")
    assert marks(clone / "scans") == mine
    assert {nlink for *_, nlink, _ in mine.values()} == {1}


def test_the_data_lie_on_the_disk_once(clone, mine):
    cached = {file.stat().st_ino for file in (clone / ".dvc" / "cache").rglob("*") if file.is_file()}
    for folder in ("raw", "cropped"):
        files = list((clone / "data" / folder).glob("*/*"))
        assert files
        assert {file.stat().st_ino for file in files} <= cached


def test_an_older_version_comes_back_and_the_newer_one_too(clone, mine):
    new = (clone / CHANGED).read_bytes()
    commit(clone, "Scan patient 2 again")
    succeed(clone, "git", "checkout", "-q", "HEAD~1")
    succeed(clone, "dvc", "checkout")
    assert (clone / CHANGED).read_bytes() != new
    succeed(clone, "git", "checkout", "-q", "-")
    succeed(clone, "dvc", "checkout")
    assert (clone / CHANGED).read_bytes() == new


def test_gc_keeps_what_is_current_and_a_remote_brings_the_rest_back(clone, mine):
    current = marks(clone / "data")
    succeed(clone, "dvc", "gc", "--workspace", "--force")
    assert marks(clone / "data") == current
    succeed(clone, "git", "checkout", "-q", "HEAD~1")
    missing = command(clone, "dvc", "checkout", "data/raw")
    assert missing.returncode != 0
    assert "missing-files" in missing.stderr
    succeed(clone, "dvc", "pull")
    assert marks(clone / "data") != current
