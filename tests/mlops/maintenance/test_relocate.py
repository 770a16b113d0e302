"""Projects that are moved, renamed, copied and restored, with real databases and models."""

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
from glioseg.mlops.tracking.storage import Lab


def values(database):
    """Every text of a database."""
    with closing(sqlite3.connect(database)) as connection:
        return set(connection.iterdump())


def change(database, statement, *parameters):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, parameters)


@pytest.fixture
def moved(built, tmp_path, monkeypatch):
    """A project that lies elsewhere than it was made; the folder that it was made in is not there."""
    made, now = tmp_path / "made here", tmp_path / "lies here"
    shutil.copytree(built.lab.root, made)
    relocate(Lab(made))
    made.rename(now)
    monkeypatch.chdir(now)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Lab(now), made


def run(*words):
    return CliRunner().invoke(cli.app, ["relocate", *map(str, words)])


def test_what_fails_in_a_moved_project_works_after_one_command(moved, built):
    lab, made = moved
    mlflow.set_tracking_uri(lab.tracking_uri)
    mlflow.set_registry_uri(lab.tracking_uri)
    with pytest.raises((OSError, mlflow.MlflowException)):
        mlflow.pyfunc.load_model("models:/unet/1")
    shutil.rmtree(made, ignore_errors=True)  # MLflow may have made it while it looked
    result = run()
    assert result.exit_code == 0, result.output
    assert f"mlruns: moved from {made} to {lab.root}: " in result.output
    assert "the database from before is mlruns/mlflow.db.before-relocate" in result.output

    client = connect(lab)
    for version, name in (("1", "model"), ("2", "hidden")):
        loaded = mlflow.pyfunc.load_model(f"models:/unet/{version}")
        assert loaded.predict(pd.DataFrame({"t1": [b"scan"]})) == name
        assert (model_folder(f"models:/unet/{version}") / "model.keras").read_text() == name
    path = client.download_artifacts(built.ids["training"], "file.txt")
    assert Path(path).read_text() == "training"
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    client.log_text(run_id, "new", "new.txt")
    assert (lab.folder / "artifacts" / "train" / run_id / "artifacts" / "new.txt").read_text() == "new"
    assert not made.exists()


def test_no_value_names_the_old_folder_and_nothing_else_is_changed(moved):
    lab, made = moved
    before = values(lab.database)
    done = relocate(lab)
    assert {"experiments.artifact_location", "runs.artifact_uri", "logged_models.artifact_location",
            "model_versions.storage_location"} == done.changed.keys()  # fmt: skip
    # Four models, of which two are registered; "Default" lies where the database was created from.
    assert done.changed["logged_models.artifact_location"] == 4
    assert done.changed["model_versions.storage_location"] == 2
    assert done.changed["experiments.artifact_location"] == 3
    after = values(lab.database)
    assert not [line for line in after if made.as_uri() in line or f"{made}/" in line]
    back = {
        line.replace(f"{lab.root.as_uri()}/", f"{made.as_uri()}/").replace(f"{lab.root}/", f"{made}/")
        for line in after
    }
    assert back == before
    assert values(done.backup) == before


def test_again_there_is_nothing_to_do(moved):
    lab, _ = moved
    assert relocate(lab) is not None
    backup = (lab.folder / "mlflow.db.before-relocate").read_bytes()
    assert relocate(lab) is None
    assert run().output == f"mlruns: its database names {lab.root} already, nothing to change\n"
    assert (lab.folder / "mlflow.db.before-relocate").read_bytes() == backup


def test_a_moved_or_copied_lab_is_said_in_one_line_and_nothing_is_written(built, tmp_path, monkeypatch):
    copy = Lab(tmp_path / "copy")
    shutil.copytree(built.lab.root, copy.root)
    before = sorted(built.lab.root.rglob("*"))
    line = f"mlruns was made in {built.lab.root}; run `glioseg relocate`"
    with pytest.raises(MovedError) as caught:
        connect(copy)
    assert str(caught.value) == line
    monkeypatch.chdir(copy.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    words = [sys.executable, "-m", "glioseg.mlops.tracking.mlflow_locations"]
    looked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (looked.returncode, looked.stderr) == (1, f"{line}\n")
    result = CliRunner().invoke(cli.app, ["prune-runs", "--yes"])
    assert (result.exit_code, result.output) == (1, f"glioseg prune-runs: {line}\n")
    assert sorted(built.lab.root.rglob("*")) == before


def test_a_lab_in_its_place_is_not_spoken_of(built, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(built.lab.root))
    words = [sys.executable, "-m", "glioseg.mlops.tracking.mlflow_locations"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stderr == ""


def test_several_old_folders_are_asked_for_one_at_a_time(moved, tmp_path):
    lab, made = moved
    other = Lab(tmp_path / "other")
    address = other.artifacts_uri("tune")
    change(lab.database, "UPDATE experiments SET artifact_location = ? WHERE name = 'tune'", address)
    result = run()
    assert result.exit_code == 1
    assert result.output == (
        f"glioseg relocate: the database names several folders, say which: {made}, {other.root}\n"
    )
    assert run(made).exit_code == 0
    assert recorded_roots(lab.database) == {lab.root, other.root}
    assert run(other.root).exit_code == 0
    assert recorded_roots(lab.database) == {lab.root}


def test_a_folder_that_the_database_does_not_name_is_refused(moved, tmp_path):
    lab, made = moved
    with pytest.raises(RelocateError, match=f"expected a folder that the database names .{made}., got /x"):
        relocate(lab, Path("/x"))
    assert recorded_roots(lab.database) == {made}


def test_a_change_that_fails_half_way_changes_nothing(moved):
    lab, _ = moved
    trigger = "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    change(lab.database, trigger)
    before = values(lab.database)
    result = run()
    assert (result.exit_code, result.output) == (1, f"glioseg relocate: {lab.database}: disk is full\n")
    assert values(lab.database) == before
    change(lab.database, "DROP TRIGGER full")
    assert run().exit_code == 0


def test_no_database_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    result = run()
    assert result.exit_code == 1
    database = tmp_path / "mlruns" / "mlflow.db"
    assert result.output == f"glioseg relocate: {database}: expected MLflow's database, found none\n"
    assert not (tmp_path / "mlruns").exists()


def test_experiments_of_others_say_nothing_of_the_project(tmp_path):
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
