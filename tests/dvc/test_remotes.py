"""A cohort and a model pushed from one clone and pulled in another: by a folder, and by S3."""

from pathlib import Path

from tests.helpers.projects import clone_project, succeed
from tests.helpers.s3 import KEYS, keys_of, make_bucket

FOLDERS = ("data/raw", "data/cropped", "models/trained", "reports/data_docs")


def contents(home: Path) -> dict[str, bytes]:
    """The bytes of every file that DVC keeps in some folders."""
    files = (file for folder in FOLDERS for file in (home / folder).rglob("*") if file.is_file())
    return {str(file.relative_to(home)): file.read_bytes() for file in files}


def test_a_clone_that_pulled_a_folder_has_the_same_bytes_and_runs_no_stage_again(reproduced, clone):
    assert contents(clone) == contents(reproduced)
    ran = [line for line in succeed(clone, "dvc", "repro").splitlines() if line.startswith("Running")]
    assert ran == [f"Running stage '{name}':" for name in ("inventory", "initial_weights", "register")]
    assert succeed(clone, "git", "status", "--porcelain") == ""


def test_a_clone_that_pulled_from_s3_has_the_same_bytes(clone, s3):
    bucket = make_bucket(s3, "scans")
    add_s3(clone, s3)
    succeed(clone, "dvc", "push", "--remote", "s3")
    keys = keys_of(bucket)
    assert keys
    assert all(key.startswith("glioseg/files/md5/") for key in keys)
    other = clone_project(clone, clone.with_name("by_s3"))
    add_s3(other, s3)
    succeed(other, "dvc", "pull", "--remote", "s3")
    assert contents(other) == contents(clone)


def add_s3(home: Path, address: str) -> None:
    succeed(home, "dvc", "remote", "add", "--local", "s3", "s3://scans/glioseg")
    keys = {name.removeprefix("AWS_").lower(): value for name, value in KEYS.items()}
    for key, value in {"endpointurl": address, **keys}.items():
        succeed(home, "dvc", "remote", "modify", "--local", "s3", key, value)
