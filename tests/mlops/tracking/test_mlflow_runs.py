import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.entities import Metric

from glioseg.mlops.maintenance.relocate import relocate
from glioseg.mlops.tracking.mlflow_runs import (
    EXPERIMENTS,
    PARENT_TAG,
    SchemaError,
    connect,
    experiment_id,
    flatten,
    log_evaluation,
    log_params,
)
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tracking.training_run import training_run
from tests.helpers import studies

ROOT = Path(__file__).parents[3]
PARAMS = {"network": {"depth": 4}, "train": {"learning_rate": 0.01}}
CASES = [{"train": 6, "validation": 2}, {"train": 7, "validation": 1}]


def connect_and_count(lab):
    return len(connect(lab).search_experiments())


def test_two_processes_may_create_the_database_at_once(lab):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        counts = pool.map(connect_and_count, [lab, lab], chunksize=1)
    assert counts == [1 + len(EXPERIMENTS)] * 2  # MLflow's own "Default" beside them


def test_a_database_of_another_mlflow_is_said_in_one_line(common_lab, tmp_path):
    connect(common_lab)
    copy = Lab(tmp_path / "copy")
    shutil.copytree(common_lab.folder, copy.folder)
    relocate(copy)
    with closing(sqlite3.connect(copy.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    with pytest.raises(
        SchemaError, match=r"^MLflow's database: .*found version 0123456789ab, .*“Upgrade”"
    ) as e:
        connect(copy)
    assert "\n" not in str(e.value)


def test_a_damaged_database_is_said_in_one_line(lab):
    lab.folder.mkdir(parents=True, exist_ok=True)
    lab.database.write_bytes(b"no database" * 1000)
    with pytest.raises(SchemaError, match=r"^.*mlflow\.db: not MLflow's database: file is not a database$"):
        connect(lab)


def test_artifacts_lie_in_the_lab_and_not_where_the_stage_runs(common_lab, tmp_path):
    client = connect(common_lab)
    run = client.create_run(experiment_id(client, "tune"))
    (tmp_path / "x.txt").write_text("hello")
    client.log_artifact(run.info.run_id, str(tmp_path / "x.txt"))
    found = list((common_lab.folder / "artifacts" / "tune").rglob("x.txt"))
    assert [path.read_text() for path in found] == ["hello"]


def test_flatten_joins_names():
    assert flatten({"a": {"b": {"c": 1}, "d": 2}, "e": []}, "/") == {"a/b/c": 1, "a/d": 2, "e": []}


def train(lab, epochs, *, key, stop=False):
    """One training of some epochs; `stop` ends it as a kill between two epochs does."""
    client = connect(lab)
    with training_run(client, state=lab.state(key), name="unet", params=PARAMS, cases=CASES) as log:
        for epoch in epochs:
            log.epoch(epoch, {"loss": 0.5**epoch, "val_dice": 0.1 * epoch})
        if stop:
            raise KeyboardInterrupt
    return log


def test_a_training_run_holds_what_makes_it_comparable(common_lab, tmp_path):
    (tmp_path / "dvc.lock").write_text(
        "stages: {crop: {outs: [{path: data/cropped, md5: 0123456789abcdef0123456789abcdef.dir}]}}"
    )
    log = train(common_lab, range(3), key="a")
    run = log.client.get_run(log.run_id)
    assert run.data.params == {"network.depth": "4", "train.learning_rate": "0.01"}
    assert run.data.tags["stage"] == "train"
    assert run.data.tags["data_version"] == "0123456789abcdef0123456789abcdef.dir"
    assert {"git_commit", "git_dirty", "environment"} <= run.data.tags.keys()
    curve = log.client.get_metric_history(log.run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(0, 1.0), (1, 0.5), (2, 0.25)]
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.digest == "0123456789abcdef0123456789abcdef.dir"
    assert run.data.tags["cases"] == "6 train, 2 validation"
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "train, validation"}


def test_a_fold_is_a_run_with_its_own_settings_curves_and_cases(common_lab):
    client = connect(common_lab)
    with training_run(client, state=common_lab.state("f"), name="unet", params=PARAMS, cases=CASES) as log:
        for number in (0, 1):
            with log.fold(number, of=2) as on_epoch:
                on_epoch(0, {"val_dice": 0.5 + 0.1 * number})
    found = client.search_runs(
        [experiment_id(client, "train")],
        f"tags.`mlflow.parentRunId` = '{log.run_id}'",
        order_by=["tags.fold"],
    )
    assert [run.data.tags["fold"] for run in found] == ["0", "1"]
    assert [run.data.metrics for run in found] == [{"val_dice": 0.5}, {"val_dice": 0.6}]
    assert [run.data.params["network.depth"] for run in found] == ["4", "4"]
    assert [run.data.tags["cases"] for run in found] == ["6 train, 2 validation", "7 train, 1 validation"]


def test_more_settings_are_logged_than_mlflow_takes_at_once(common_lab):
    client = connect(common_lab)
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    log_params(client, run_id, {"section": {f"name {k}": k for k in range(250)}})
    assert client.get_run(run_id).data.params == {f"section.name {k}": str(k) for k in range(250)}


@pytest.mark.parametrize("preset", ["demo", "custom", "unknown"])
def test_a_run_says_which_preset_it_follows(common_lab, tmp_path, preset):
    if preset != "unknown":
        params = (ROOT / "params.yaml").read_text()
        changed = params.replace("base_filters: 8", "base_filters: 9")
        (tmp_path / "params.yaml").write_text(params if preset == "demo" else changed)
    log = train(common_lab, [0], key=preset)
    assert log.client.get_run(log.run_id).data.tags["preset"] == preset


def test_a_killed_training_goes_on_in_its_own_run(common_lab):
    client = connect(common_lab)
    experiment = [experiment_id(client, "train")]
    runs = len(client.search_runs(experiment))
    with pytest.raises(KeyboardInterrupt):
        train(common_lab, [0, 1], key="b", stop=True)
    log = train(common_lab, [2], key="b")
    assert client.get_run(log.run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(log.run_id, "loss")] == [0, 1, 2]
    assert len(client.search_runs(experiment)) == runs + 1


def test_the_state_of_a_run_that_the_database_does_not_have_starts_another(common_lab):
    state = common_lab.state("c")
    state.mkdir(parents=True)
    (state / "run.json").write_text(json.dumps({"run_id": "0" * 32}))
    log = train(common_lab, [1], key="c")
    assert [m.step for m in log.client.get_metric_history(log.run_id, "loss")] == [1]


def test_stopped_while_it_forgets_its_state_a_training_leaves_no_half_of_it(common_lab, report, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    log = train(common_lab, [0], key="d")
    (log.state / "state.npz").write_bytes(b"weights")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            log.finish({}, report[0].parent)
    assert not log.state.exists()


@pytest.fixture
def report(tmp_path):
    """A picture in a folder, and a table."""
    (tmp_path / "reports" / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "reports" / "pictures" / "a" / "x.png").write_bytes(b"png")
    (tmp_path / "reports" / "per_case.csv").write_text("case\n")
    return [tmp_path / "reports" / "per_case.csv", tmp_path / "reports" / "pictures" / "a"]


def test_a_trial_s_run_has_system_metrics(lab, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")

    def slow(values, report):
        time.sleep(1)
        return studies.train(values, report)

    _, parent = studies.run(lab, slow, studies.TUNE.model_copy(update={"trials": 1}))
    client = connect(lab)
    (trial,) = client.search_runs([experiment_id(client, "tune")], f"tags.`{PARENT_TAG}` = '{parent}'")
    assert 0 < trial.data.metrics["system/system_memory_usage_percentage"] < 100
    assert trial.data.metrics["val_dice"] == pytest.approx(
        client.get_run(parent).data.metrics["best_val_dice"]
    )


def evaluate(run_id, model_id, files):
    log_evaluation(
        run={"run_id": run_id, "model_id": model_id},
        params=PARAMS,
        cases=3,
        test_data="1" * 64,
        metrics=METRICS,
        files=files,
    )


METRICS = {"cases": 3, "dice": {"WT": {"mean": 0.9, "low": float("nan")}}, "note": "text"}


def test_an_evaluation_is_linked_to_the_model(common_lab, report):
    log = train(common_lab, [0], key="d")
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
    assert (dice.value, dice.run_id, dice.dataset_name) == (0.9, run.info.run_id, "cohort")
    assert dice.dataset_digest == given.dataset.digest
    names = [file.path for file in log.client.list_artifacts(run.info.run_id)]
    assert names == ["per_case.csv", "pictures"]
    assert [f.path for f in log.client.list_artifacts(run.info.run_id, "pictures/a")] == ["pictures/a/x.png"]


def test_an_evaluation_of_a_model_trained_elsewhere_is_logged_without_the_link(common_lab, report):
    evaluate("0" * 32, "m-" + "0" * 32, report)
    client = connect(common_lab)
    run = client.search_runs([experiment_id(client, "evaluate")])[0]
    assert run.data.tags["trained_run"] == "0" * 32
    assert run.data.metrics["dice/WT/mean"] == 0.9
    assert run.info.status == "FINISHED"
