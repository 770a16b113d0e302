"""What the gate's verdict leaves in the registry, and that a kill at any moment changes nothing of it."""

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

from glioseg.mlops.registry.promotion import VERDICT
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import experiment_id, log_evaluation
from glioseg.params.promotion import Limits
from tests.helpers.shops import ELSEWHERE, table

ROOT = Path(__file__).parents[3]
PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
FILES = {"verdict.json", "cases.csv", "differences.png"}
WRITES = (
    "log_model_artifact",
    "log_model_artifacts",
    "set_model_version_tag",
    "delete_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes half a second, and test_gate.py looks at the picture."""
    monkeypatch.setattr(
        "glioseg.mlops.registry.gate_figure.draw_differences", lambda verdict, title: title.encode()
    )


def test_the_champion_moves_to_a_better_model_and_not_to_a_worse_one(shop):
    shop.offer("one", a=0.7, b=0.5)
    worse = shop.offer("worse", a=0.7, b=0.4)
    assert worse.startswith("version 2 is registered, version 1 stays champion: WT Dice -0.0500")
    assert shop.aliases == {"champion": 1, "challenger": 2}
    better = shop.offer("better", a=0.8, b=0.7)
    assert better.startswith("version 3 is the champion: no worse on 2 test cases: mean Dice +0.1500")
    assert shop.aliases == {"champion": 3, "challenger": 2, "previous": 1}


def test_both_versions_say_what_came_of_it(shop):
    shop.measured["case_s"] = 2.5
    shop.offer("one", a=0.7, b=0.5)
    worse = shop.offer("worse", a=0.7, b=0.4)
    tags = shop.tags(2)
    assert tags["verdict"] == worse
    assert tags["compared_with"] == "1"
    assert tags["case_s"] == "2.5"
    for region in ("wt", "tc", "et", "mean"):
        assert tags[f"dice_difference_{region}"] == "-0.050000"
        assert tags[f"dice_lower_bound_{region}"] == "-0.100000"  # of two cases the worse
    assert (shop.tags(1)["challenged_by"], shop.tags(1)["challenge"]) == ("2", worse)
    better = shop.offer("better", a=0.8, b=0.7)
    assert (shop.tags(1)["challenged_by"], shop.tags(1)["challenge"]) == ("3", better)
    assert shop.tags(1)["champion_until"].endswith("by the gate: version 3 took its place")
    assert shop.tags(3)["champion_since"].endswith("UTC, by the gate")
    assert shop.tags(1)["compared_with"] == "no champion"


def test_the_record_lies_beside_the_model(shop):
    shop.offer("one", a=0.7, b=0.5)
    said = shop.offer("two", a=0.8, b=0.7)
    folder = shop.artifact(2, "gate")
    assert {path.name for path in folder.iterdir()} == FILES
    record = json.loads((folder / "verdict.json").read_text())
    assert (record["version"], record["compared_with"], record["verdict"]) == ("2", "1", said)
    title = "Version 2 beside the champion, version 1"
    assert (folder / "differences.png").read_text() == title
    rows = pd.read_csv(folder / "cases.csv").query("region == 'ET'")
    assert rows[["case", "candidate", "champion"]].to_numpy().tolist() == [["a", 0.8, 0.7], ["b", 0.7, 0.5]]


def test_the_record_is_on_the_page_of_the_newest_evaluation(shop):
    client, model = shop.client, shop.source("three of its own")
    model_id = log_model(client, model, run_id=ELSEWHERE)
    for _ in range(2):
        run = {"run_id": ELSEWHERE, "model_id": model_id}
        log_evaluation(run=run, params={}, cases=1, test_data="", metrics={}, files=[])
    shop.offer("one", a=0.7)
    shop.offer("three of its own", a=0.6)
    newest, older = client.search_runs([experiment_id(client, "evaluate")], f"tags.model_id = '{model_id}'")
    listed = client.list_artifacts(newest.info.run_id, "gate")
    assert {Path(file.path).name for file in listed} == FILES
    assert client.list_artifacts(older.info.run_id) == []


def test_where_no_evaluation_is_known_the_record_is_on_the_page_of_the_training(shop):
    client = shop.client
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    shop.offer("one", run_id=run_id, a=0.7)
    assert [file.path for file in client.list_artifacts(run_id, "gate")] == ["gate/verdict.json"]


def test_a_margin_lets_a_slightly_worse_one_pass(shop):
    shop.offer("one", a=0.7)
    shop.offer("worse", rules=shop.rules(margin=0.02), a=0.69)
    assert shop.aliases == {"champion": 2, "previous": 1}


def test_a_limit_holds_for_the_first_champion_and_a_looser_one_lets_it_in(shop):
    limits = Limits(calibration_error=0.05, case_s=None, memory_gb=None)
    shop.measured["calibration_error"] = 0.06
    said = shop.offer("one", rules=shop.rules(limits=limits), a=0.7)
    assert said == "version 1 is registered, there is no champion: calibration_error 0.06, limit 0.05"
    assert shop.aliases == {"challenger": 1}
    assert shop.offer("one", rules=shop.rules(limits=limits), a=0.7).endswith("already; there is no champion")
    said = shop.offer("one", rules=shop.rules(), a=0.7)
    assert said == "version 1 is the champion: the first champion"
    assert shop.aliases == {"champion": 1}


def test_a_champion_that_is_tested_anew_stays_it(shop):
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.8)
    limits = Limits(calibration_error=0.05, case_s=None, memory_gb=None)
    said = shop.offer("two", rules=shop.rules(limits=limits), b=0.1)
    assert said == (
        "version 2 is the champion: it is the champion, but calibration_error not measured, limit 0.05"
    )
    assert shop.aliases == {"champion": 2, "previous": 1}


def test_only_a_newer_version_takes_the_name_of_challenger(shop):
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.6)
    shop.offer("three", a=0.5)
    assert shop.aliases["challenger"] == 3
    shop.offer("two", rules=shop.rules(margin=0.01), a=0.6)
    assert shop.aliases == {"champion": 1, "challenger": 3}


def test_a_champion_tested_on_other_cases_is_scored_on_these(shop):
    shop.offer("one", a=0.9)
    asked = []

    def score(folder):
        asked.append((folder / "model.keras").read_text())
        assert json.loads((folder / "settings.json").read_text()) == {"shop": shop.folder.name}
        return table(b=0.5)

    shop.offer("two", score, b=0.6)
    assert asked == ["one"]
    assert shop.aliases["champion"] == 2


def test_a_champion_tested_on_other_data_is_scored_anew(shop):
    shop.offer("one", a=0.9)
    (shop.folder / "dvc.lock").write_text("stages: {crop: {outs: [{path: data/cropped, md5: '1.dir'}]}}")
    with pytest.raises(AssertionError, match="need not be scored"):
        shop.offer("two", a=0.6)


def test_versions_of_before_the_gate_had_rules_go_on(shop):
    """They know neither rules nor resources, their verdict is of the old kind, one alias is set."""
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.6)
    for version, verdict in (
        (1, "version 1 is the champion: the first champion"),
        (2, "version 2 is registered"),
    ):
        old = {key: value for key, value in shop.tags(version).items() if key.endswith("_sha256")}
        shop.versions.untag(str(version), *shop.tags(version))
        shop.versions.tag(
            str(version), {k: v for k, v in old.items() if k != "gate_sha256"} | {VERDICT: verdict}
        )
    shop.client.delete_registered_model_alias(shop.name, "challenger")
    assert shop.offer("one", a=0.7) == "version 1 is the champion: it is the champion"
    assert shop.offer("two", a=0.6).startswith("version 2 is registered, version 1 stays champion: WT Dice")
    assert shop.aliases == {"champion": 1, "challenger": 2}
    assert shop.offer("three", a=0.8).startswith("version 3 is the champion")
    assert shop.versions.roll_back() == f"{shop.name}: version 1 is the champion, version 3 is previous"


def test_what_was_rolled_back_does_not_come_again_by_itself(shop):
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.8)
    shop.versions.roll_back()
    rolled = {"champion": 1, "previous": 2}
    assert shop.offer("two", a=0.8) == "version 2 is this model already; the champion is version 1"
    assert shop.aliases == rolled
    for again in (shop.offer("two", rules=shop.rules(margin=0.1), a=0.8), shop.offer("two", b=0.9)):
        assert again == (
            "version 2 is registered, version 1 stays champion:"
            " it was champion before; `glioseg rollback --to 2` brings it back"
        )
    assert shop.aliases == rolled
    shop.versions.roll_back("2")
    assert shop.offer("two", b=0.9).endswith("already; the champion is version 2")


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


@dataclass
class Registry:
    """Counts what is written to MLflow, and dies in the place of one write."""

    count: int = 0
    die_at: int = -1

    def watch(self, name, monkeypatch):
        real = getattr(MlflowClient, name)

        def write(client, *given, **named):
            self.count += 1
            if self.count == self.die_at:
                raise Killed
            return real(client, *given, **named)

        monkeypatch.setattr(MlflowClient, name, write)


def state(shop):
    """All aliases and tags, without the time of day."""
    tags = {version: shop.tags(version) for version in (1, 2)}
    return shop.aliases, {
        v: {k: re.sub(r"^\S+ \S+ UTC", "", text) for k, text in tags[v].items()} for v in tags
    }


@pytest.mark.parametrize("dice", [0.8, 0.6], ids=["it passes", "it does not"])
def test_killed_before_every_write_in_turn_it_ends_the_same(shop, monkeypatch, dice):
    shop.offer("one", a=0.7)
    line, ended = shop.offer("two", a=dice), state(shop)
    again, writes = replace(shop, name=f"{shop.name}-again"), Registry()
    again.offer("one", a=0.7)
    for name in WRITES:
        writes.watch(name, monkeypatch)
    for moment in range(1, 100):
        writes.die_at = writes.count + moment
        try:
            assert again.offer("two", a=dice) == line
            break
        except Killed:
            assert VERDICT not in again.tags(2)
    assert moment > 15
    assert state(again) == ended


def test_a_killed_process_leaves_what_the_next_one_finishes(shop):
    """Of two aliases that move together one has moved."""
    code = f"""
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from tests.helpers.shops import Shop
from glioseg.mlops.tracking.storage import Lab
shop = Shop(Lab(Path({str(shop.lab.root)!r})), {shop.name!r}, Path({str(shop.folder)!r}))
shop.offer("one", a=0.7)
move = MlflowClient.set_registered_model_alias
def die(client, name, alias, version):
    if alias == "champion":
        os.kill(os.getpid(), signal.SIGKILL)
    move(client, name, alias, version)
MlflowClient.set_registered_model_alias = die
shop.offer("two", a=0.8)
"""
    died = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": PATH}, check=False)
    assert died.returncode == -signal.SIGKILL
    assert shop.aliases == {"champion": 1, "previous": 1}
    assert VERDICT not in shop.tags(2)
    assert shop.offer("two", a=0.8).startswith("version 2 is the champion")
    assert shop.aliases == {"champion": 2, "previous": 1}
