"""The MLflow run of a training, and how an interrupted training continues it."""

import json
import os
from pathlib import Path

import pytest

from glioseg.mlops.tracking.mlflow_runs import (
    connect,
    experiment_id,
)
from glioseg.mlops.tracking.training_run import run_name, training_run
from glioseg.params import load_params
from tests.helpers.trainings import CASES, PARAMS, log_epochs

ROOT = Path(__file__).parents[3]


def test_a_training_run_has_settings_tags_curves_and_the_dataset(shared_storage, tmp_path):
    (tmp_path / "dvc.lock").write_text(
        "stages: {crop: {outs: [{path: data/cropped, md5: 0123456789abcdef0123456789abcdef.dir}]}}"
    )
    log = log_epochs(shared_storage, range(3), key="a")
    run = log.client.get_run(log.run_id)
    assert run.data.params == {"network.depth": "4", "train.learning_rate": "0.01"}
    assert run.data.tags["stage"] == "train"
    assert run.data.tags["data_version"] == "0123456789abcdef0123456789abcdef.dir"
    assert {"git_commit", "git_dirty", "environment"} <= run.data.tags.keys()
    curve = log.client.get_metric_history(log.run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(0, 1.0), (1, 0.5), (2, 0.25)]
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.digest == "0123456789abcdef0123456789abcdef.dir"
    assert run.data.tags["cases"] == "7 train, 1 validation"  # those of the last training
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "train, validation"}


def test_a_fold_is_a_run_with_its_own_settings_curves_and_cases(shared_storage):
    client = connect(shared_storage)
    with training_run(
        client, state=shared_storage.state("f"), name="unet", params=PARAMS, cases=CASES
    ) as log:
        for number in (0, 1):
            with log.fold(number, folds=2) as on_epoch:
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


@pytest.mark.parametrize("preset", ["demo", "custom", "unknown"])
def test_a_run_has_its_preset_as_a_tag(shared_storage, tmp_path, preset):
    if preset != "unknown":
        params = (ROOT / "params.yaml").read_text()
        changed = params.replace("base_filters: 8", "base_filters: 9")
        (tmp_path / "params.yaml").write_text(params if preset == "demo" else changed)
    log = log_epochs(shared_storage, [0], key=preset)
    assert log.client.get_run(log.run_id).data.tags["preset"] == preset


def test_a_killed_training_continues_its_own_run(shared_storage):
    client = connect(shared_storage)
    experiment = [experiment_id(client, "train")]
    runs = len(client.search_runs(experiment))
    with pytest.raises(KeyboardInterrupt):
        log_epochs(shared_storage, [0, 1], key="b", stop=True)
    log = log_epochs(shared_storage, [2], key="b")
    assert client.get_run(log.run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(log.run_id, "loss")] == [0, 1, 2]
    assert len(client.search_runs(experiment)) == runs + 1


def test_a_state_whose_run_is_not_in_the_database_starts_a_new_run(shared_storage):
    state = shared_storage.state("c")
    state.mkdir(parents=True)
    (state / "run.json").write_text(json.dumps({"run_id": "0" * 32}))
    log = log_epochs(shared_storage, [1], key="c")
    assert [m.step for m in log.client.get_metric_history(log.run_id, "loss")] == [1]


def test_a_training_stopped_while_it_deletes_its_state_leaves_none_of_it(shared_storage, report, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    log = log_epochs(shared_storage, [0], key="d")
    (log.state / "state.npz").write_bytes(b"weights")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            log.finish({}, report[0].parent)
    assert not log.state.exists()


def test_the_names_of_two_trainings_tell_them_apart():
    params = load_params(ROOT / "params.yaml")
    name = run_name(params, preset="demo", key="a3f29c")
    assert name == f"demo a3f2, 8×4, 2 mm, {params.train.epochs} epochs, seed {params.train.seed}"
    short = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 2, "seed": 5})})
    assert run_name(short, preset="custom", key="77e01d") == "seed 77e0, 8×4, 2 mm, 2 epochs, seed 5"
