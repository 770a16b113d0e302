"""Stage train on a cohort of a few voxels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import calibrate
import initial_weights
import register
import train
import tune
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.model_uri import RegistryError
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.models.networks.keras_file import load_network
from glioseg.params.presets import apply_preset
from glioseg.params.settings_file import ParamsError
from tests.helpers.stages import (
    set_params,
    write_evaluation,
)


def test_a_stopped_training_continues_in_the_same_run(stage_project, monkeypatch):
    import glioseg.models.training.cross_validation as folds

    def stop(**given):
        given["on_epoch"](0, {"loss": 1.0, "val_dice": 0.1})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folds, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            train.main()
    train.main()
    client = connect(ProjectStorage.current())
    (run,) = client.search_runs([experiment_id(client, "train")])
    assert json.loads(Path("reports/train/run.json").read_text()) == {"run_id": run.info.run_id}
    assert run.info.status == "FINISHED"
    assert run.data.params["train.devices"] == "auto"
    assert (run.data.tags["devices"], run.data.tags["backend"]) == ("1", "tensorflow")
    assert run.data.params["network.dropout"] == "0.2"  # from the study, not from params.yaml
    history = pd.read_csv("reports/train/history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert {"loss", "val_loss", "val_dice", "val_dice_wt", "learning_rate", "seconds"} <= set(history)
    assert not list(Path("mlruns/state").iterdir())


def test_missing_devices_are_an_error_before_a_run_is_created(stage_project):
    set_params(train={"devices": 2, "batch_size": 2})
    for stage in (tune, train):
        with pytest.raises(ParamsError, match=r"train\.devices: expected 2 GPUs .* got 0"):
            stage.main()
    client = connect(ProjectStorage.current())
    assert not client.search_runs([experiment_id(client, name) for name in ("tune", "train")])


def test_cross_validation_trains_one_network_per_fold_and_calibrates_the_ensemble(
    stage_project, capsys, monkeypatch
):
    set_params(split={"folds": 2}, train={"folds": 2, "epochs": 1})
    train.main()
    calls, choose = [], calibrate.calibrate_model

    def record(cases, settings, *, training_cases, **options):
        networks = [(len(unseen.models), unseen.case.name) for unseen in cases]
        calls.append((networks, [case.name for case in training_cases]))
        return choose(cases, settings, training_cases=training_cases, **options)

    monkeypatch.setattr(calibrate, "calibrate_model", record)
    calibrate.main()
    assert calls == [([(2, "c")], ["a", "b"])]  # no network was trained on c
    assert {path.name for path in Path("models/calibrated").iterdir()} == {
        "model.keras", "model_1.keras", "settings.json",
    }  # fmt: skip
    client = connect(ProjectStorage.current())
    runs = {run.info.run_name: run for run in client.search_runs([experiment_id(client, "train")])}
    parent = next(run for name, run in runs.items() if not name.startswith("fold"))
    for fold in ("fold 0", "fold 1"):
        assert runs[fold].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs[fold].info.status == "FINISHED"
        assert 0 <= runs[fold].data.metrics["val_dice"] <= 1
    history = pd.read_csv("reports/train/history.csv")
    assert history[["fold", "epoch"]].to_numpy().tolist() == [[0, 0], [1, 0]]
    mean = history["val_dice"].mean()
    assert f"train: best validation Dice {mean:.3f}" in capsys.readouterr().out
    assert parent.data.metrics["best_val_dice"] == pytest.approx(mean)


def test_cross_validation_calibrates_one_network_on_cases_that_its_folds_have_not_seen(
    stage_project, capsys, monkeypatch
):
    set_params(split={"folds": 2}, train={"folds": 2, "ensemble": False, "epochs": 2, "monitor": "last"})
    train.main()
    history = pd.read_csv("reports/train/history.csv")
    assert history[["fold", "epoch"]].to_numpy().tolist() == [[f, e] for f in range(3) for e in range(2)]
    last = history[history["epoch"] == 1]["val_dice"].tolist()
    # The mean over the folds; the third network was trained on all training cases.
    assert f"train: best validation Dice {(last[0] + last[1]) / 2:.3f}" in capsys.readouterr().out
    client = connect(ProjectStorage.current())
    runs = {run.info.run_name: run for run in client.search_runs([experiment_id(client, "train")])}
    (parent,) = (run for name, run in runs.items() if not name.startswith("fold"))
    assert runs.keys() == {"fold 0", "fold 1", parent.info.run_name}
    assert parent.data.metrics["best_val_dice"] == pytest.approx((last[0] + last[1]) / 2)
    assert parent.data.metrics["val_dice"] == pytest.approx(last[2])

    used, choose = [], calibrate.calibrate_model

    def record(cases, *args, **options):
        used.extend(cases)
        return choose(cases, *args, **options)

    monkeypatch.setattr(calibrate, "calibrate_model", record)
    calibrate.main()
    folds = json.loads(Path("data/splits.json").read_text())["folds"]
    validated = [fold["validation"] for fold in folds]
    assert [unseen.case.name for unseen in used] == ["c", *validated[0], *validated[1]]
    files = ["models/trained/model.keras", *(f"models/trained/folds/{n}.keras" for n in ("model", "model_1"))]
    expected = [load_network(Path(file)).get_weights()[0] for file in files]
    for unseen, weights in zip(used, expected, strict=True):
        (network,) = unseen.models
        np.testing.assert_array_equal(network.get_weights()[0], weights)
    assert {path.name for path in Path("models/calibrated").iterdir()} == {"model.keras", "settings.json"}


def test_preset_adapt_starts_from_the_builtin_model_and_is_calibrated_on_the_folds(stage_project, capsys):
    apply_preset("adapt")
    tiny = {"epochs": 1, "steps_per_epoch": 2, "patch_shape": [8, 8, 8]}
    set_params(split={"folds": 2}, train=tiny | {"folds": 2}, network={"spacing_mm": 1})
    initial_weights.main()
    tune.main()
    train.main()
    printed = capsys.readouterr().out
    layers = len([layer for layer in load_network(builtin.FOLDER / "model.keras").layers if layer.weights])
    assert printed.count(f"init_from: {layers} layers with stored weights, 0 skipped") == 3
    calibrate.main()
    assert "calibrate: 3 cases that no network was trained on: " in capsys.readouterr().out
    settings = Settings.load(Path("models/calibrated"))
    assert settings.base_filters == 24
    write_evaluation({"d": 0.8})
    register.main()
    client = connect(ProjectStorage.current())
    version = client.get_model_version_by_alias("glioseg", "champion")
    run = client.get_run(version.tags["trained_run"])
    assert run.data.params["train.init_from"] == "builtin"
    assert run.data.params["train.phantom_share"] == "0.5"


def test_training_starts_from_a_registered_model(stage_project, capsys):
    train.main()
    calibrate.main()
    write_evaluation({"d": 0.8})
    register.main()
    version = connect(ProjectStorage.current()).get_model_version_by_alias("glioseg", "champion")
    assert version.tags["trained_run"] == json.loads(Path("reports/train/run.json").read_text())["run_id"]
    capsys.readouterr()
    shutil.rmtree("models")
    set_params(train={"init_from": "models:/glioseg@champion", "learning_rate": 1e-12, "epochs": 1})
    initial_weights.main()
    train.main()
    assert "layers with stored weights, 0 skipped" in capsys.readouterr().out
    set_params(train={"init_from": "models:/missing@champion"})
    for stage in (initial_weights, train):
        with pytest.raises(RegistryError, match=r"models:/missing@champion: not in the registry"):
            stage.main()


def test_training_logs_to_tensorboard_if_configured(stage_project):
    set_params(train={"tensorboard": True, "epochs": 1})
    train.main()
    (training,) = Path("mlruns/tensorboard").iterdir()
    files = {path.relative_to(training).parent for path in training.rglob("events.out.tfevents.*")}
    assert files == {Path("fold0/train"), Path("fold0/validation")}
