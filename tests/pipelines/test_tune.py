"""Stage tune, and `glioseg tune-worker` beside it, on a cohort of a few voxels."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import tune
from glioseg.cli import app
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.stages import (
    ROOT,
    set_params,
)


def test_tune_searches_and_continues_after_a_stop(stage_project, capsys):
    tune.main()
    best = json.loads(Path("reports/tune/best_params.json").read_text())
    assert best.keys() == {"dropout"}
    assert 0 <= best["dropout"] <= 0.3
    assert {path.name for path in Path("reports/tune").iterdir()} == {
        "best_params.json", "trials.csv", "study.html", "study.json",
    }  # fmt: skip
    client = connect(ProjectStorage.current())
    runs = client.search_runs([experiment_id(client, "tune")])
    assert sorted(run.info.run_name for run in runs)[1:] == ["trial 0", "trial 1"]
    default = next(run for run in runs if run.info.run_name == "trial 0")
    assert default.data.params["network.dropout"] == str(
        yaml.safe_load((ROOT / "params.yaml").read_text())["network"]["dropout"]
    )
    assert default.data.params["train.epochs"] == "1"
    capsys.readouterr()
    tune.main()
    assert "1/2" not in capsys.readouterr().out
    assert len(client.search_runs([experiment_id(client, "tune")])) == len(runs)


def test_trials_of_tune_workers_count_for_the_stage(stage_project, capsys):
    """Limits and seconds of a case are measured with the networks of the trials."""
    limits = {"limits": {"memory_gb": 5, "case_s": 600}, "objectives": ["dice", "case_s"]}
    set_params(tune={"trials": 3, **limits})
    assert CliRunner().invoke(app, ["tune-worker"]).exit_code == 0
    capsys.readouterr()
    tune.main()
    out = capsys.readouterr().out
    assert "3/3 trials are finished" in out
    assert "tune: best Dice" in out
    client = connect(ProjectStorage.current())
    runs = client.search_runs([experiment_id(client, "tune")])
    trials = [run for run in runs if "trial" in run.data.tags]
    assert len(trials) == 3
    for run in trials:
        assert 0 < run.data.metrics["case_s"] < 600
        assert run.data.metrics["memory_gb"] == pytest.approx(1.35, abs=0.01)  # the libraries alone
        assert run.data.tags["state"] == "complete"
    assert "Pareto-front" in Path("reports/tune/study.html").read_text()


def test_a_tune_worker_without_trials_or_data_is_one_line(stage_project):
    set_params(tune={"trials": 0})
    done = CliRunner().invoke(app, ["tune-worker"])
    assert done.exit_code == 1
    assert done.output == "glioseg tune-worker: params.yaml: tune.trials: expected at least 1, got 0\n"
    set_params(tune={"trials": 1})
    Path("data/splits.json").unlink()
    done = CliRunner().invoke(app, ["tune-worker"])
    assert done.exit_code == 1
    assert "data/splits.json" in done.output


def test_without_trials_the_settings_of_params_yaml_are_used(stage_project, capsys):
    set_params(tune={"trials": 0})
    tune.main()
    assert json.loads(Path("reports/tune/best_params.json").read_text()) == {}
    assert "tune.trials is 0" in capsys.readouterr().out
