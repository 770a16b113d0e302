"""Projects that were moved or copied, with real databases and models."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from glioseg import cli
from glioseg.mlops.maintenance.relocate import RelocateError, relocate
from glioseg.mlops.tracking.mlflow_locations import MovedError, recorded_roots
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.model_uri import model_folder
from glioseg.mlops.tracking.storage import ProjectStorage


def values(database):
    """All rows of a database as SQL."""
    with closing(sqlite3.connect(database)) as connection:
        return set(connection.iterdump())


def change(database, statement, *parameters):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, parameters)


@pytest.fixture
def moved(built, tmp_path, monkeypatch):
    """A project that was moved, and its former folder, which no longer exists."""
    old, now = tmp_path / "old place", tmp_path / "new place"
    shutil.copytree(built.storage.root, old)
    relocate(ProjectStorage(old))
    old.rename(now)
    monkeypatch.chdir(now)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return ProjectStorage(now), old


def run(*words):
    return CliRunner().invoke(cli.app, ["relocate", *map(str, words)])


def test_a_moved_project_works_after_one_command(moved, built):
    storage, old = moved
    mlflow.set_tracking_uri(storage.tracking_uri)
    mlflow.set_registry_uri(storage.tracking_uri)
    with pytest.raises((OSError, mlflow.MlflowException)):
        mlflow.pyfunc.load_model("models:/unet/1")
    shutil.rmtree(old, ignore_errors=True)  # MLflow may have created it in its attempt
    result = run()
    assert result.exit_code == 0, result.output
    assert f"mlruns: moved from {old} to {storage.root}: " in result.output
    assert "copy of the database as it was: mlruns/mlflow.db.before-relocate" in result.output

    client = connect(storage)
    for version, name in (("1", "model"), ("2", "hidden")):
        loaded = mlflow.pyfunc.load_model(f"models:/unet/{version}")
        assert loaded.predict(pd.DataFrame({"t1": [b"scan"]})) == name
        assert (model_folder(f"models:/unet/{version}") / "model.keras").read_text() == name
    path = client.download_artifacts(built.ids["training"], "file.txt")
    assert Path(path).read_text() == "training"
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    client.log_text(run_id, "new", "new.txt")
    assert (storage.folder / "artifacts" / "train" / run_id / "artifacts" / "new.txt").read_text() == "new"
    assert not old.exists()


def test_addresses_change_and_nothing_else(moved):
    storage, old = moved
    before = values(storage.database)
    done = relocate(storage)
    assert {"experiments.artifact_location", "runs.artifact_uri", "logged_models.artifact_location",
            "model_versions.storage_location"} == done.changed.keys()  # fmt: skip
    # Four models, of which two are registered; "Default" lies where the database was created from.
    assert done.changed["logged_models.artifact_location"] == 4
    assert done.changed["model_versions.storage_location"] == 2
    assert done.changed["experiments.artifact_location"] == 3
    after = values(storage.database)
    assert not [line for line in after if old.as_uri() in line or f"{old}/" in line]
    back = {
        line.replace(f"{storage.root.as_uri()}/", f"{old.as_uri()}/").replace(f"{storage.root}/", f"{old}/")
        for line in after
    }
    assert back == before
    assert values(done.backup) == before


def test_a_second_call_changes_nothing(moved):
    storage, _ = moved
    assert relocate(storage) is not None
    backup = (storage.folder / "mlflow.db.before-relocate").read_bytes()
    assert relocate(storage) is None
    assert run().output == f"mlruns: its database names {storage.root} already, nothing to change\n"
    assert (storage.folder / "mlflow.db.before-relocate").read_bytes() == backup


def test_a_copied_project_is_reported_in_one_line_and_nothing_is_written(built, tmp_path, monkeypatch):
    copy = ProjectStorage(tmp_path / "copy")
    shutil.copytree(built.storage.root, copy.root)
    before = sorted(built.storage.root.rglob("*"))
    line = f"mlruns was made in {built.storage.root}; run `glioseg relocate`"
    with pytest.raises(MovedError) as caught:
        connect(copy)
    assert str(caught.value) == line
    monkeypatch.chdir(copy.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    words = [sys.executable, "-m", "glioseg.mlops.tracking.mlflow_locations"]
    check = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (1, f"{line}\n")
    result = CliRunner().invoke(cli.app, ["prune-runs", "--yes"])
    assert (result.exit_code, result.output) == (1, f"glioseg prune-runs: {line}\n")
    assert sorted(built.storage.root.rglob("*")) == before


def test_a_project_that_was_not_moved_is_not_reported(built, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(built.storage.root))
    words = [sys.executable, "-m", "glioseg.mlops.tracking.mlflow_locations"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stderr == ""


def test_of_several_old_folders_the_user_chooses_one(moved, tmp_path):
    storage, old = moved
    other = ProjectStorage(tmp_path / "other")
    address = other.artifacts_uri("tune")
    change(storage.database, "UPDATE experiments SET artifact_location = ? WHERE name = 'tune'", address)
    result = run()
    assert result.exit_code == 1
    assert result.output == (
        f"glioseg relocate: the database names several folders, choose one of {old}, {other.root}\n"
    )
    assert run(old).exit_code == 0
    assert recorded_roots(storage.database) == {storage.root, other.root}
    assert run(other.root).exit_code == 0
    assert recorded_roots(storage.database) == {storage.root}


def test_a_folder_that_the_database_does_not_name_is_an_error(moved, tmp_path):
    storage, old = moved
    with pytest.raises(RelocateError, match=f"expected a folder that the database names .{old}., got /x"):
        relocate(storage, Path("/x"))
    assert recorded_roots(storage.database) == {old}


def test_a_failed_change_is_undone(moved):
    storage, _ = moved
    trigger = "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    change(storage.database, trigger)
    before = values(storage.database)
    result = run()
    assert (result.exit_code, result.output) == (1, f"glioseg relocate: {storage.database}: disk is full\n")
    assert values(storage.database) == before
    change(storage.database, "DROP TRIGGER full")
    assert run().exit_code == 0


def test_a_missing_database_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    result = run()
    assert result.exit_code == 1
    database = tmp_path / "mlruns" / "mlflow.db"
    assert result.output == f"glioseg relocate: {database}: expected MLflow's database, found none\n"
    assert not (tmp_path / "mlruns").exists()


def test_only_glioseg_s_experiments_name_the_project_s_folder(tmp_path):
    database = tmp_path / "x.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE experiments (name, artifact_location)")
        rows = [
            ("Default", "/a/b/mlruns/0"),
            ("mine", "s3://bucket/a/mlruns/artifacts/mine"),
            ("relative", "./mlruns/1"),
            ("short", "file:///a"),
            ("tune", "file:///a%20b/mlruns/artifacts/tune"),
        ]
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
    assert recorded_roots(database) == {Path("/a b")}
    assert recorded_roots(tmp_path / "none.db") == set()


def test_a_damaged_database_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    database = tmp_path / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    database.write_bytes(b"what a full disk left" * 100)
    result = run()
    assert (result.exit_code, result.output) == (
        1,
        f"glioseg relocate: {database}: file is not a database\n",
    )
