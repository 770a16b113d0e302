"""The MLflow runs of trials."""

import time

import pytest

from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, connect, experiment_id
from tests.helpers import studies


@pytest.fixture
def watch(shared_storage, request):
    """The study of this test."""
    with studies.Watch.on(shared_storage, f"study of {request.node.name}") as watch:
        yield watch


def test_a_trial_s_run_has_system_metrics(storage, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")

    def slow(values, report):
        time.sleep(1)
        return studies.train(values, report)

    _, parent = studies.run(storage, slow, studies.TUNE.model_copy(update={"trials": 1}))
    client = connect(storage)
    (trial,) = client.search_runs([experiment_id(client, "tune")], f"tags.`{PARENT_TAG}` = '{parent}'")
    assert 0 < trial.data.metrics["system/system_memory_usage_percentage"] < 100
    assert trial.data.metrics["val_dice"] == pytest.approx(
        client.get_run(parent).data.metrics["best_val_dice"]
    )


def test_a_run_that_kill_9_left_open_is_closed_with_its_value(watch):
    """The state after a kill between the updates of Optuna's and of MLflow's database."""
    watch.join(watch.start(trials=2))
    client, (_, runs) = connect(watch.storage), watch.runs()
    client.update_run(runs[0].info.run_id, status="RUNNING")
    client.set_tag(runs[0].info.run_id, "state", "running")
    client.log_metric(runs[0].info.run_id, "best_val_dice", 0.0)
    watch.join(watch.start(trials=2))
    watch.check(trials=2)
