"""The tags, files and aliases after a decision, also where the process was killed at any moment."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from glioseg.mlops.registry.promotion import GATE_DECISION
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import experiment_id, log_evaluation
from glioseg.params.sections import PromotionLimits
from tests.helpers.registries import ELSEWHERE, scorer

ROOT = Path(__file__).parents[3]
PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
FILES = {"decision.json", "cases.csv", "differences.png"}
WRITES = (
    "log_model_artifact",
    "log_model_artifacts",
    "set_model_version_tag",
    "delete_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


pytestmark = pytest.mark.usefixtures("stub_figure")


def test_the_champion_moves_to_a_better_model_and_not_to_a_worse_one(registry):
    registry.register("one", a=0.7, b=0.5)
    worse = registry.register("worse", a=0.7, b=0.4)
    assert worse.startswith("version 2 is registered, version 1 stays champion: WT Dice -0.0500")
    assert registry.aliases == {"champion": 1, "challenger": 2}
    better = registry.register("better", a=0.8, b=0.7)
    assert better.startswith("version 3 is the champion: no worse on 2 test cases: mean Dice +0.1500")
    assert registry.aliases == {"champion": 3, "challenger": 2, "previous": 1}


def test_both_versions_get_tags_with_the_result(registry):
    registry.measured["case_s"] = 2.5
    registry.register("one", a=0.7, b=0.5)
    worse = registry.register("worse", a=0.7, b=0.4)
    tags = registry.tags(2)
    assert tags["gate_decision"] == worse
    assert tags["compared_with"] == "1"
    assert tags["case_s"] == "2.5"
    for region in ("wt", "tc", "et", "mean"):
        assert tags[f"dice_difference_{region}"] == "-0.050000"
        assert tags[f"dice_lower_bound_{region}"] == "-0.100000"  # with two cases the worse one
    assert (registry.tags(1)["last_challenger"], registry.tags(1)["last_decision"]) == ("2", worse)
    better = registry.register("better", a=0.8, b=0.7)
    assert (registry.tags(1)["last_challenger"], registry.tags(1)["last_decision"]) == ("3", better)
    assert registry.tags(1)["champion_until"].endswith("by the gate: version 3 took its place")
    assert registry.tags(3)["champion_since"].endswith("UTC, by the gate")
    assert registry.tags(1)["compared_with"] == "no champion"


def test_the_gate_files_are_logged_with_the_model(registry):
    registry.register("one", a=0.7, b=0.5)
    result = registry.register("two", a=0.8, b=0.7)
    folder = registry.artifact(2, "gate")
    assert {path.name for path in folder.iterdir()} == FILES
    record = json.loads((folder / "decision.json").read_text())
    assert (record["version"], record["compared_with"], record["decision"]) == ("2", "1", result)
    title = "Version 2 against the champion, version 1"
    assert (folder / "differences.png").read_text() == title
    rows = pd.read_csv(folder / "cases.csv").query("region == 'ET'")
    assert rows[["case", "candidate", "baseline"]].to_numpy().tolist() == [["a", 0.8, 0.7], ["b", 0.7, 0.5]]


def test_the_gate_files_are_logged_with_the_newest_evaluation_run(registry):
    client, model = registry.client, registry.model_files("three of its own")
    model_id = log_model(client, model, run_id=ELSEWHERE)
    for _ in range(2):
        run = {"run_id": ELSEWHERE, "model_id": model_id}
        log_evaluation(run=run, params={}, cases=1, test_data="", metrics={}, files=[])
    registry.register("one", a=0.7)
    registry.register("three of its own", a=0.6)
    newest, older = client.search_runs([experiment_id(client, "evaluate")], f"tags.model_id = '{model_id}'")
    listed = client.list_artifacts(newest.info.run_id, "gate")
    assert {Path(file.path).name for file in listed} == FILES
    assert client.list_artifacts(older.info.run_id) == []


def test_without_an_evaluation_run_the_gate_files_are_logged_with_the_training_run(registry):
    client = registry.client
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    registry.register("one", run_id=run_id, a=0.7)
    assert [file.path for file in client.list_artifacts(run_id, "gate")] == ["gate/decision.json"]


def test_a_margin_lets_a_slightly_worse_one_pass(registry):
    registry.register("one", a=0.7)
    registry.register("worse", rules=registry.rules(margin=0.02), a=0.69)
    assert registry.aliases == {"champion": 2, "previous": 1}


def test_a_limit_holds_for_the_first_champion_and_a_looser_one_promotes_it(registry):
    limits = PromotionLimits(calibration_error=0.05, case_s=None, memory_gb=None)
    registry.measured["calibration_error"] = 0.06
    result = registry.register("one", rules=registry.rules(limits=limits), a=0.7)
    assert result == "version 1 is registered, there is no champion: calibration_error 0.06, limit 0.05"
    assert registry.aliases == {"challenger": 1}
    assert registry.register("one", rules=registry.rules(limits=limits), a=0.7).endswith(
        "already; there is no champion; `glioseg rollback --to 1` makes version 1 the champion"
    )
    result = registry.register("one", rules=registry.rules(), a=0.7)
    assert result == "version 1 is the champion: the first champion"
    assert registry.aliases == {"champion": 1}


def test_a_champion_that_is_tested_again_stays_champion(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.8)
    limits = PromotionLimits(calibration_error=0.05, case_s=None, memory_gb=None)
    result = registry.register("two", rules=registry.rules(limits=limits), b=0.1)
    assert result == (
        "version 2 is the champion: it is the champion, but calibration_error not measured, limit 0.05"
    )
    assert registry.aliases == {"champion": 2, "previous": 1}


def test_the_best_version_that_never_was_champion_is_challenger(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.6)
    registry.register("three", a=0.5)  # a worse one does not take its place
    assert registry.aliases == {"champion": 1, "challenger": 2}
    registry.register("four", a=0.65)
    assert registry.aliases == {"champion": 1, "challenger": 4}
    registry.register("four", rules=registry.rules(margin=0.1), a=0.65)  # passes now: the next best follows
    assert registry.aliases == {"champion": 4, "previous": 1, "challenger": 2}
    registry.register("two", rules=registry.rules(margin=0.01), a=0.6)
    assert registry.aliases == {"champion": 4, "previous": 1, "challenger": 2}


def test_a_challenger_without_table_of_the_present_cases_gives_way(registry):
    """Dice of other cases cannot be compared."""
    registry.register("one", a=0.7)
    registry.register("two", a=0.6)
    score, _ = scorer({"one": {"b": 0.7}})
    registry.register("three", score=score, b=0.1)
    assert registry.aliases == {"champion": 1, "challenger": 3}


def test_versions_that_an_older_glioseg_registered_are_decided_again(registry):
    """Their tags lack rules and resources, the decision has an older form, and one alias is set."""
    registry.register("one", a=0.7)
    registry.register("two", a=0.6)
    for version, decision in (
        (1, "version 1 is the champion: the first champion"),
        (2, "version 2 is registered"),
    ):
        old = {key: value for key, value in registry.tags(version).items() if key.endswith("_sha256")}
        registry.versions.delete_tags(str(version), *registry.tags(version))
        registry.versions.set_tags(
            str(version), {k: v for k, v in old.items() if k != "gate_sha256"} | {GATE_DECISION: decision}
        )
    registry.client.delete_registered_model_alias(registry.name, "challenger")
    assert registry.register("one", a=0.7) == "version 1 is the champion: it is the champion"
    assert registry.register("two", a=0.6).startswith(
        "version 2 is registered, version 1 stays champion: WT Dice"
    )
    assert registry.aliases == {"champion": 1, "challenger": 2}
    assert registry.register("three", a=0.8).startswith("version 3 is the champion")
    assert (
        registry.versions.roll_back() == f"{registry.name}: version 1 is the champion, version 3 is previous"
    )


def test_a_version_that_was_rolled_back_does_not_return_by_itself(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.8)
    registry.versions.roll_back()
    rolled = {"champion": 1, "previous": 2}
    assert registry.register("two", a=0.8) == "version 2 is this model already; the champion is version 1"
    assert registry.aliases == rolled
    for again in (
        registry.register("two", rules=registry.rules(margin=0.1), a=0.8),
        registry.register("two", b=0.9),
    ):
        assert again == (
            "version 2 is registered, version 1 stays champion:"
            " it was champion before; `glioseg rollback --to 2` brings it back"
        )
    assert registry.aliases == rolled
    registry.versions.roll_back("2")
    assert registry.register("two", b=0.9).endswith("already; the champion is version 2")


def test_without_its_alias_the_last_champion_is_still_the_baseline(registry):
    """Otherwise any model that is within the limits would be called the first champion."""
    registry.register("one", a=0.7)
    registry.register("two", a=0.6)
    registry.client.delete_registered_model_alias(registry.name, "champion")
    assert registry.register("three", a=0.65).startswith(
        "version 3 is registered, there is no champion: against the last champion, version 1: WT Dice -0.0500"
    )
    assert registry.aliases == {"challenger": 3}
    assert registry.tags(3)["compared_with"] == "1"
    assert registry.register("four", a=0.8).startswith(
        "version 4 is the champion: no worse on 1 test cases:"
        " against the last champion, version 1: mean Dice +0.1000"
    )
    assert registry.aliases == {"champion": 4, "challenger": 3, "previous": 1}


def test_the_last_champion_of_several_is_the_baseline(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.8)
    registry.register("three", a=0.9)
    registry.versions.roll_back()
    registry.client.delete_registered_model_alias(registry.name, "champion")
    assert registry.versions.last_champion() == "2"
    registry.client.delete_model_version(registry.name, "2")
    assert "against the last champion, version 1:" in registry.register("four", a=0.6)


def test_a_champion_without_its_alias_returns_only_by_hand(registry):
    """A person may have had a reason to remove the alias."""
    registry.register("one", a=0.7)
    registry.client.delete_registered_model_alias(registry.name, "champion")
    assert registry.register("one", rules=registry.rules(margin=0.1), a=0.7) == (
        "version 1 is registered, there is no champion:"
        " it was champion before; `glioseg rollback --to 1` brings it back"
    )
    assert registry.aliases == {}


class Killed(BaseException):
    """Stands for a kill of the process: nothing catches it."""


@dataclass
class WriteCounter:
    """Counts the writes to MLflow, and raises `Killed` instead of one of them."""

    count: int = 0
    fail_at: int = -1

    def watch(self, name, monkeypatch):
        real = getattr(MlflowClient, name)

        def write(client, *given, **named):
            self.count += 1
            if self.count == self.fail_at:
                raise Killed
            return real(client, *given, **named)

        monkeypatch.setattr(MlflowClient, name, write)


def state(registry):
    """All aliases and tags without times."""
    tags = {version: registry.tags(version) for version in (1, 2)}
    return registry.aliases, {
        v: {k: re.sub(r"^\S+ \S+ UTC", "", text) for k, text in tags[v].items()} for v in tags
    }


@pytest.mark.parametrize("dice", [0.8, 0.6], ids=["passes", "does not pass"])
def test_a_kill_before_any_write_does_not_change_the_final_state(registry, monkeypatch, dice):
    registry.register("one", a=0.7)
    line, ended = registry.register("two", a=dice), state(registry)
    again, writes = replace(registry, name=f"{registry.name}-again"), WriteCounter()
    again.register("one", a=0.7)
    for name in WRITES:
        writes.watch(name, monkeypatch)
    for moment in range(1, 100):
        writes.fail_at = writes.count + moment
        try:
            assert again.register("two", a=dice) == line
            break
        except Killed:
            assert GATE_DECISION not in again.tags(2)
    assert moment > 15
    assert state(again) == ended


def test_a_call_completes_what_a_killed_process_began(registry):
    """The process dies when one of two aliases has moved."""
    code = f"""
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from tests.helpers.registries import ModelRegistry
from glioseg.mlops.tracking.storage import ProjectStorage
storage = ProjectStorage(Path({str(registry.storage.root)!r}))
registry = ModelRegistry(storage, {registry.name!r}, Path({str(registry.folder)!r}))
registry.register("one", a=0.7)
move = MlflowClient.set_registered_model_alias
def die(client, name, alias, version):
    if alias == "champion":
        os.kill(os.getpid(), signal.SIGKILL)
    move(client, name, alias, version)
MlflowClient.set_registered_model_alias = die
registry.register("two", a=0.8)
"""
    died = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": PATH}, check=False)
    assert died.returncode == -signal.SIGKILL
    assert registry.aliases == {"champion": 1, "previous": 1}
    assert GATE_DECISION not in registry.tags(2)
    assert registry.register("two", a=0.8).startswith("version 2 is the champion")
    assert registry.aliases == {"champion": 2, "previous": 1}
