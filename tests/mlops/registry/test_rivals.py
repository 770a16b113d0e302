"""With which versions a candidate is compared, and that one state of the metric code measured them all."""

import json

import pandas as pd
import pytest

from glioseg.models.networks.keras_file import ModelError
from glioseg.params.promotion import Limits
from tests.helpers.shops import table


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes half a second, and test_gate.py looks at the picture."""
    monkeypatch.setattr(
        "glioseg.mlops.registry.gate_figure.draw_differences", lambda verdict, title: title.encode()
    )


def scores(dice):
    """Measures a model by its content: Dice of its cases; and what was asked for, in turn."""
    asked = []

    def score(folder):
        asked.append(content := (folder / "model.keras").read_text())
        return table(**dice[content]).assign(
            calibration_error_wt=0.01, calibration_error_tc=0.03, calibration_error_et=0.02
        )

    return score, asked


def test_where_the_metric_code_changed_both_are_measured_again(shop):
    """By the stored tables the second model loses 0.3 Dice, and by today's code it gains 0.1."""
    shop.offer("one", a=0.9)
    shop.versions.tag("1", {"metric_code_sha256": "as it was"})
    shop.code["metric_code"] = "as it was"
    shop.measured["calibration_error"] = 0.06
    score, asked = scores({"one": {"a": 0.7}, "two": {"a": 0.8}})
    limits = Limits(calibration_error=0.05, case_s=None, memory_gb=None)
    said = shop.offer("two", score, rules=shop.rules(limits=limits), a=0.6)
    assert asked == ["one", "two"]
    assert said.startswith("version 2 is the champion: no worse on 1 test cases: mean Dice +0.1000")
    assert shop.tags(2)["calibration_error"] == "0.03"  # of the worst region, by today's code


def test_a_champion_that_was_measured_by_other_code_is_measured_again_once(shop):
    shop.offer("one", a=0.9)
    shop.versions.tag("1", {"metric_code_sha256": "as it was"})
    score, asked = scores({"one": {"a": 0.7}})
    assert shop.offer("two", score, a=0.6).startswith("version 2 is registered, version 1 stays champion")
    assert shop.offer("three", score, a=0.8).startswith("version 3 is the champion: no worse")
    assert asked == ["one"]


def chain(shop, *numbers, **given):
    """Offers the models of a chain, each of which loses 0.009 against the one before; what was said last."""
    rules = shop.rules(margin=0.01)
    for n in numbers:
        said = shop.offer(f"model {n}", rules=rules, a=0.8 - 0.009 * n, b=0.7 - 0.009 * n, **given)
    return said


def test_a_chain_of_small_losses_is_stopped(shop):
    second, third, fourth = chain(shop, 0, 1), chain(shop, 2), chain(shop, 3)
    assert second.startswith("version 2 is the champion: no worse on 2 test cases: mean Dice -0.0090")
    assert "best" not in second  # the champion is the best so far
    for version, said, loss in ((3, third, "-0.0180"), (4, fourth, "-0.0270")):
        assert said.startswith(f"version {version} is registered, version 2 stays champion: ")
        assert f"beside the best champion so far, version 1: mean Dice {loss}" in said
    assert shop.aliases == {"champion": 2, "previous": 1, "challenger": 4}
    assert [shop.tags(version)["best_champion"] for version in (1, 2, 3)] == ["1", "1", "1"]


def test_the_record_names_both_versions(shop):
    chain(shop, 0, 1, 2)
    folder = shop.artifact(3, "gate")
    record = json.loads((folder / "verdict.json").read_text())
    assert [(each["version"], each["role"]) for each in record["compared"]] == [
        ("2", "the champion"),
        ("1", "the best champion so far"),
    ]
    title = "Version 3 beside the champion, version 2 and the best champion so far, version 1"
    assert (folder / "differences.png").read_text() == title
    rows = pd.read_csv(folder / "cases.csv").query("region == 'mean'").groupby("compared_with")
    assert rows["difference"].mean().round(6).to_dict() == {1: -0.018, 2: -0.009}


def test_a_better_champion_is_the_best_from_then_on(shop):
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.8)
    assert shop.tags(2)["best_champion"] == "2"
    assert "best" not in shop.offer("three", a=0.79)


def test_the_best_champion_that_was_deleted_is_told(shop):
    chain(shop, 0, 1)
    shop.client.delete_registered_model_alias(shop.name, "previous")
    shop.client.delete_model_version(shop.name, "1")
    said = chain(shop, 2)
    assert said.startswith("version 3 is the champion: no worse on 2 test cases: mean Dice -0.0090")
    assert said.endswith("; not compared with version 1, the best champion so far: it was deleted")


def test_the_best_champion_that_cannot_be_loaded_is_told(shop):
    chain(shop, 0, 1)
    shop.versions.tag("1", {"metric_code_sha256": "as it was"})

    def fail(folder):
        raise ModelError(f"{folder.name}: not a model's settings")

    said = chain(shop, 2, score=fail)
    assert said.startswith("version 3 is the champion")
    why = "it cannot be loaded (artifacts: not a model's settings)"
    assert said.endswith(f"; not compared with version 1, the best champion so far: {why}")


def test_the_best_champion_is_measured_again_by_todays_code(shop):
    chain(shop, 0, 1)
    shop.versions.tag("1", {"metric_code_sha256": "as it was"})
    score, asked = scores({"model 0": {"a": 0.7, "b": 0.6}})
    said = chain(shop, 2, score=score)
    assert asked == ["model 0"]
    # Measured anew it is worse than the champion, which is the best so far then.
    assert said.startswith("version 3 is the champion")
    assert "best" not in said


def test_the_best_champion_of_other_test_cases_is_told_and_does_not_count(shop):
    chain(shop, 0, 1)
    rules = shop.rules(margin=0.01)
    score, asked = scores({"model 1": {"c": 0.6}})
    said = shop.offer("model 2", score, rules=rules, c=0.591)
    assert asked == ["model 1"]  # the champion
    assert said.startswith("version 3 is the champion")
    why = "it has no table of these test cases"
    assert said.endswith(f"; not compared with version 1, the best champion so far: {why}")
    # The champion that was measured on the new cases is the best from now on.
    assert shop.tags(3)["best_champion"] == "2"
    said = shop.offer("model 3", rules=rules, c=0.582)
    assert "beside the best champion so far, version 2: mean Dice -0.0180" in said


def test_what_was_taken_back_by_hand_is_no_yardstick(shop):
    shop.offer("one", a=0.7)
    shop.offer("two", a=0.8)
    shop.versions.roll_back()
    said = shop.offer("three", a=0.75)
    assert said.startswith("version 3 is the champion: no worse on 1 test cases: mean Dice +0.0500")
    assert "best" not in said
