"""The connection to MLflow's database, and the logging that all kinds of runs share."""

import multiprocessing
import shutil
import sqlite3
from contextlib import closing, contextmanager

import pytest
from mlflow.entities import Metric
from sqlalchemy import Engine, event

from glioseg.core.errors import one_line_errors
from glioseg.mlops.maintenance.relocate import relocate
from glioseg.mlops.tracking.mlflow_runs import (
    EXPERIMENTS,
    SchemaError,
    connect,
    experiment_id,
    flatten,
    has_run,
    log_evaluation,
    log_metrics,
    log_params,
)
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import training_run
from tests.helpers.trainings import CASES, PARAMS, log_epochs

METRICS = {"cases": 3, "dice": {"WT": {"mean": 0.9, "low": float("nan")}}, "note": "text"}


def connect_and_count(storage):
    return len(connect(storage).search_experiments())


def test_two_processes_may_create_the_database_at_once(storage):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        counts = pool.map(connect_and_count, [storage, storage], chunksize=1)
    assert counts == [1 + len(EXPERIMENTS)] * 2  # and MLflow's own "Default"


def test_a_database_of_another_mlflow_version_is_reported_in_one_line(shared_storage, tmp_path):
    connect(shared_storage)
    copy = ProjectStorage(tmp_path / "copy")
    shutil.copytree(shared_storage.folder, copy.folder)
    relocate(copy)
    with closing(sqlite3.connect(copy.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    with pytest.raises(
        SchemaError, match=r"^MLflow's database: .*found version 0123456789ab, .*“Upgrade”"
    ) as e:
        connect(copy)
    assert "\n" not in str(e.value)


def test_a_damaged_database_is_reported_in_one_line(storage):
    storage.folder.mkdir(parents=True, exist_ok=True)
    storage.database.write_bytes(b"no database" * 1000)
    with pytest.raises(SchemaError, match=r"^.*mlflow\.db: not MLflow's database: file is not a database$"):
        connect(storage)


def test_artifacts_are_in_the_project_storage_and_not_in_the_working_folder(shared_storage, tmp_path):
    client = connect(shared_storage)
    run = client.create_run(experiment_id(client, "tune"))
    (tmp_path / "x.txt").write_text("hello")
    client.log_artifact(run.info.run_id, str(tmp_path / "x.txt"))
    found = list((shared_storage.folder / "artifacts" / "tune").rglob("x.txt"))
    assert [path.read_text() for path in found] == ["hello"]


def test_flatten_joins_names():
    assert flatten({"a": {"b": {"c": 1}, "d": 2}, "e": []}, "/") == {"a/b/c": 1, "a/d": 2, "e": []}


def test_more_settings_are_logged_than_mlflow_accepts_per_request(shared_storage):
    client = connect(shared_storage)
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    log_params(client, run_id, {"section": {f"name {k}": k for k in range(250)}})
    assert client.get_run(run_id).data.params == {f"section.name {k}": str(k) for k in range(250)}


def evaluate(run_id, model_id, files):
    log_evaluation(
        run={"run_id": run_id, "model_id": model_id},
        params=PARAMS,
        cases=3,
        test_data="1" * 64,
        metrics=METRICS,
        files=files,
    )


def test_an_evaluation_is_linked_to_the_model(shared_storage, report):
    log = log_epochs(shared_storage, [0], key="d")
    model = log.client.create_logged_model(experiment_id(log.client, "train"), source_run_id=log.run_id)
    evaluate(log.run_id, model.model_id, report)
    run = log.client.search_runs([experiment_id(log.client, "evaluate")])[0]
    assert run.data.metrics == {"cases": 3, "dice/WT/mean": 0.9}
    assert run.info.run_name == "unet"
    assert run.data.params == {"network.depth": "4", "train.learning_rate": "0.01"}
    assert run.data.tags["test_data"] == "1" * 64
    (given,) = run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "test"}
    assert run.data.tags["cases"] == "3 test"
    inputs = log.client.get_run(run.info.run_id).inputs
    assert [one.model_id for one in inputs.model_inputs] == [model.model_id]
    linked: list[Metric] = log.client.get_logged_model(model.model_id).metrics
    (dice,) = (metric for metric in linked if metric.key == "dice/WT/mean")
    assert (dice.value, dice.run_id, dice.dataset_name) == (0.9, run.info.run_id, "unknown")
    assert dice.dataset_digest == given.dataset.digest
    names = [file.path for file in log.client.list_artifacts(run.info.run_id)]
    assert names == ["per_case.csv", "pictures"]
    assert [f.path for f in log.client.list_artifacts(run.info.run_id, "pictures/a")] == ["pictures/a/x.png"]


def test_an_evaluation_of_a_model_trained_elsewhere_is_logged_without_the_link(shared_storage, report):
    evaluate("0" * 32, "m-" + "0" * 32, report)
    client = connect(shared_storage)
    run = client.search_runs([experiment_id(client, "evaluate")])[0]
    assert run.data.tags["trained_run"] == "0" * 32
    assert run.data.metrics["dice/WT/mean"] == 0.9
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("name", ["MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"])
def test_mlflow_s_variables_of_another_job_have_no_say(shared_storage, report, tmp_path, monkeypatch, name):
    log = log_epochs(shared_storage, [0], key=name)
    before = log.client.get_run(log.run_id)
    values = {"MLFLOW_RUN_ID": log.run_id, "MLFLOW_EXPERIMENT_ID": experiment_id(log.client, "train")}
    monkeypatch.setenv(name, values.get(name, f"sqlite:///{tmp_path}/other.db"))
    evaluate(log.run_id, "m-" + "0" * 32, report)
    assert log.client.get_run(log.run_id).to_dictionary() == before.to_dictionary()
    evaluations = log.client.search_runs([experiment_id(log.client, "evaluate")])
    assert log.run_id in [run.data.tags["trained_run"] for run in evaluations]
    assert not (tmp_path / "other.db").exists()


def test_an_unknown_run_of_another_job_stops_no_training(shared_storage, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    log = log_epochs(shared_storage, [0], key="unknown run")
    assert log.run_id != "0" * 32
    assert log.client.get_run(log.run_id).info.status == "FINISHED"


def test_a_deleted_experiment_is_restored_with_its_runs(storage, capsys):
    log = log_epochs(storage, [0], key="a")
    log.client.delete_experiment(experiment_id(log.client, "train"))
    again = log_epochs(storage, [0], key="b")
    assert capsys.readouterr().err == "MLflow: experiment train was deleted; it is restored with its runs\n"
    experiment = log.client.get_experiment_by_name("train")
    assert experiment.lifecycle_stage == "active"
    found = log.client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in found} == {log.run_id, again.run_id}


def test_a_deleted_run_to_which_a_model_belongs_is_restored(shared_storage, capsys):
    """The stage calibrate logs to the run of the training."""
    log = log_epochs(shared_storage, [0], key="deleted")
    log.client.delete_run(log.run_id)
    assert has_run(log.client, log.run_id)
    assert capsys.readouterr().err == f"MLflow: run {log.run_id} was deleted; it is restored\n"
    log_metrics(log.client, log.run_id, {"calibration_error": 0.25})
    assert log.client.get_run(log.run_id).data.metrics["calibration_error"] == 0.25


def test_a_run_that_is_deleted_while_it_is_running_continues(shared_storage):
    client = connect(shared_storage)
    state = shared_storage.state("deleted in between")
    with training_run(client, state=state, name="unet", params=PARAMS, cases=CASES) as log:
        log.epoch(0, {"loss": 1.0})
        client.delete_run(log.run_id)
        log.epoch(1, {"loss": 0.5})
    assert [m.value for m in client.get_metric_history(log.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(log.run_id).info.status == "FINISHED"


def test_a_full_disk_ends_a_training_in_one_line(storage):
    connect(storage)
    with limited_size(storage), pytest.raises(SystemExit) as end, one_line_errors("train"):
        log_epochs(storage, range(10_000), key="full")
    assert end.value.code == "train: the database in mlruns failed: database or disk is full"


@contextmanager
def limited_size(storage):
    """Let SQLite report a full disk: no connection from now on may enlarge the database."""
    pages = storage.database.stat().st_size // 4096

    def limit(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "begin", limit)
    try:
        yield
    finally:
        event.remove(Engine, "begin", limit)
