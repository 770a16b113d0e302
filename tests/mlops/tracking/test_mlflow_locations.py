"""The check of the locations in a database of experiments, whose table is written by hand."""

import sqlite3
from contextlib import closing

import pytest

from glioseg.mlops.tracking.mlflow_locations import (
    DATABASE,
    MovedError,
    recorded_roots,
    require_not_moved,
    require_same_location,
)
from glioseg.mlops.tracking.storage import ARTIFACTS_URL, ProjectStorage


@pytest.fixture
def database(storage):
    """A database with an experiment that glioseg created in `/old place`, and another experiment."""
    storage.folder.mkdir()
    rows = [("train", "file:///old%20place/mlruns/artifacts/train"), ("Default", "/elsewhere/mlruns/0")]
    with closing(sqlite3.connect(storage.folder / DATABASE)) as connection, connection:
        connection.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
    return storage.folder / DATABASE


def test_the_project_folder_is_read_from_experiments_of_glioseg_only(database, tmp_path):
    assert {str(root) for root in recorded_roots(database)} == {"/old place"}
    assert recorded_roots(tmp_path / "missing.db") == set()


def test_a_moved_storage_is_an_error_that_names_the_old_folder(database, storage):
    with pytest.raises(MovedError, match=r"^mlruns was made in /old place; run `glioseg relocate`$"):
        require_not_moved(storage)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = 'train'",
            [storage.artifacts_uri("train")],
        )
    require_not_moved(storage)


@pytest.mark.parametrize(
    ("url", "location", "message"),
    [
        (None, "file:///other/machine/mlruns/artifacts/tune", None),
        ("s3://bucket/a", "s3://bucket/a/tune", None),
        ("s3://bucket/a", "s3://bucket/b/tune", "got s3://bucket/a; set it to s3://bucket/b, or start"),
        (None, "s3://bucket/b/tune", "got nothing; set it to s3://bucket/b, or start"),
        ("s3://bucket/a", "file:///a/mlruns/artifacts/tune", "got s3://bucket/a; unset it, or start"),
    ],
)
def test_two_folders_may_differ_but_no_bucket_from_another_place(tmp_path, url, location, message):
    storage = ProjectStorage(tmp_path, artifacts_url=url)
    if message is None:
        require_same_location(storage, "tune", location)
    else:
        with pytest.raises(MovedError, match=message) as error:
            require_same_location(storage, "tune", location)
        assert str(error.value).startswith(
            f"{ARTIFACTS_URL}: this database keeps the files of tune in {location}"
        )
