"""Experiments as DVC's users run them: in the queue two at a time, in the workspace, and compared."""

import json
import re
import sqlite3
from pathlib import Path

import pytest
import yaml

from tests.helpers.projects import succeed
from tests.helpers.waiting import until

RATES = {"slow": 0.001, "fast": 0.01}
SCORES = {"mean_dice", "dice", "lesion_dice", "hd95_area_mm"}


@pytest.fixture(scope="module")
def queued(clone: Path) -> Path:
    """Two experiments, trained at once by the queue's workers in a clone without MLflow database."""
    for name, rate in RATES.items():
        change = ["--set-param", f"train.learning_rate={rate}", "--set-param", "tune.trials=1"]
        succeed(clone, "dvc", "exp", "run", "--queue", "--name", name, *change)
    code = clone / "src" / "glioseg" / "mlops" / "tracking" / "mlflow_runs.py"
    text = code.read_text()
    code.write_text("raise RuntimeError('not what was queued')\n")
    succeed(clone, "dvc", "queue", "start", "--jobs", "2")
    until(lambda: ended(clone), "the end of both experiments", every_s=1)
    until(lambda: "Running" not in states(clone), "what the queue notes of them", every_s=1)
    code.write_text(text)
    return clone


def ended(home: Path) -> bool:
    """Whether git has the results of both; asking DVC takes a second of work."""
    found = succeed(home, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    assert "refs/exps/celery/failed" not in found, succeed(home, "dvc", "queue", "logs", "slow")
    return {name.rpartition("/")[2] for name in found} >= RATES.keys()


def states(home: Path) -> list[str]:
    return [line.split()[-1] for line in succeed(home, "dvc", "queue", "status").splitlines()[1:3]]


def shown(home: Path) -> dict[str, dict]:
    """What `dvc exp show` says of each experiment, by name."""
    (*_, baseline) = json.loads(succeed(home, "dvc", "exp", "show", "--json"))
    return {entry["name"]: entry["revs"][0]["data"] for entry in baseline["experiments"]}


def changed_params(home: Path, *revisions: str) -> dict[str, tuple]:
    """What `dvc params diff` names: old and new values; without revisions, here against the commit."""
    diff = json.loads(succeed(home, "dvc", "params", "diff", "--json", *revisions))
    return {name: (change["old"], change["new"]) for name, change in diff["params.yaml"].items()}


def rows(database: Path, query: str) -> list[tuple]:
    with sqlite3.connect(database) as connection:
        return sorted(connection.execute(query).fetchall())


def test_experiments_that_train_at_once_both_finish_with_the_code_they_were_queued_with(queued):
    assert states(queued) == ["Success", "Success"]
    found = shown(queued)
    for name, rate in RATES.items():
        assert found[name]["params"]["params.yaml"]["data"]["train"]["learning_rate"] == rate
        assert found[name]["metrics"]["reports/scores.json"]["data"].keys() == SCORES


def test_each_has_a_run_and_a_study_of_its_own_in_the_projects_storage(queued):
    query = """
        select tags.value, experiments.name, runs.status from runs
        join tags on tags.run_uuid = runs.run_uuid and tags.key = 'dvc_experiment'
        join experiments on experiments.experiment_id = runs.experiment_id
        where experiments.name <> 'tune'"""
    assert rows(queued / "mlruns" / "mlflow.db", query) == [
        (name, kind, "FINISHED") for name in sorted(RATES) for kind in ("evaluate", "train")
    ]
    assert rows(queued / "mlruns" / "optuna.db", "select study_id, state from trials") == [
        (1, "COMPLETE"),
        (2, "COMPLETE"),
    ]
    for database in ("mlflow.db", "optuna.db"):
        assert rows(queued / "mlruns" / database, "pragma integrity_check") == [("ok",)]


def test_params_and_metrics_are_compared(queued):
    assert changed_params(queued, "slow", "fast") == {"train.learning_rate": (0.001, 0.01)}
    metrics = json.loads(succeed(queued, "dvc", "metrics", "diff", "--json", "--all", "slow", "fast"))
    for name, key in (("slow", "old"), ("fast", "new")):
        dice = shown(queued)[name]["metrics"]["reports/scores.json"]["data"]["dice"]["WT"]
        assert metrics["reports/scores.json"]["dice.WT"][key] == dice


def test_plots_of_both_are_drawn_over_each_other_in_a_page_that_loads_nothing(queued):
    data = json.loads(succeed(queued, "dvc", "plots", "diff", "--json", "slow", "fast"))["data"]
    assert len(data) == len(yaml.safe_load((queued / "dvc.yaml").read_text())["plots"])
    for (plot,) in data.values():
        drawn = plot["content"]["data"]["values"]
        assert {point["rev"] for point in drawn} == set(RATES)
    succeed(queued, "python", "docs/offline_plots.py")
    succeed(queued, "dvc", "plots", "diff", "slow", "fast")
    page = (queued / "dvc_plots" / "index.html").read_text()
    assert page.count("vegaEmbed('#") == len(data)
    assert "window.vegaEmbed=" in page
    assert not re.search(r"""(?:src|href)=["']?http""", page)


def test_an_experiment_in_the_workspace_is_shown_and_differs_from_what_is_committed(queued):
    assert succeed(queued, "git", "status", "--porcelain", "--untracked-files=no") == ""
    succeed(queued, "dvc", "exp", "run", "--name", "longer", "--set-param", "register.samples=60")
    assert shown(queued)["longer"]["params"]["params.yaml"]["data"]["register"]["samples"] == 60
    assert changed_params(queued) == {"register.samples": (10000, 60)}
