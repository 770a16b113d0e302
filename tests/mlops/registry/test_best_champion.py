"""The comparison with the best champion so far, beside the one with the present champion."""

import json

import pandas as pd
import pytest

from glioseg.models.networks.keras_file import ModelError
from tests.helpers.registries import scorer

pytestmark = pytest.mark.usefixtures("stub_figure")


def register_series(registry, *numbers, **options):
    """Register models of which each loses 0.009 Dice to the one before; the result of the last one."""
    rules = registry.rules(margin=0.01)
    for n in numbers:
        result = registry.register(f"model {n}", rules=rules, a=0.8 - 0.009 * n, b=0.7 - 0.009 * n, **options)
    return result


def test_small_losses_do_not_add_up_over_a_series_of_champions(registry):
    second = register_series(registry, 0, 1)
    third, fourth = register_series(registry, 2), register_series(registry, 3)
    assert second.startswith("version 2 is the champion: no worse on 2 test cases: mean Dice -0.0090")
    assert "best" not in second  # the champion is the best so far
    for version, result, loss in ((3, third, "-0.0180"), (4, fourth, "-0.0270")):
        assert result.startswith(f"version {version} is registered, version 2 stays champion: ")
        assert f"against the best champion so far, version 1: mean Dice {loss}" in result
    # Version 3 is better than version 4, and the other two have been champion.
    assert registry.aliases == {"champion": 2, "previous": 1, "challenger": 3}
    assert [registry.tags(version)["best_champion"] for version in (1, 2, 3)] == ["1", "1", "1"]


def test_the_gate_files_name_both_versions(registry):
    register_series(registry, 0, 1, 2)
    folder = registry.artifact(3, "gate")
    record = json.loads((folder / "decision.json").read_text())
    assert [(each["version"], each["role"]) for each in record["compared"]] == [
        ("2", "the champion"),
        ("1", "the best champion so far"),
    ]
    title = "Version 3 against the champion, version 2 and the best champion so far, version 1"
    assert (folder / "differences.png").read_text() == title
    rows = pd.read_csv(folder / "cases.csv").query("region == 'mean'").groupby("compared_with")
    assert rows["difference"].mean().round(6).to_dict() == {1: -0.018, 2: -0.009}


def test_a_better_champion_becomes_the_best(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.8)
    assert registry.tags(2)["best_champion"] == "2"
    assert "best" not in registry.register("three", a=0.79)


def test_a_deleted_best_champion_is_reported(registry):
    register_series(registry, 0, 1)
    registry.client.delete_registered_model_alias(registry.name, "previous")
    registry.client.delete_model_version(registry.name, "1")
    result = register_series(registry, 2)
    assert result.startswith("version 3 is the champion: no worse on 2 test cases: mean Dice -0.0090")
    assert result.endswith("; not compared with version 1, the best champion so far: it was deleted")


def test_a_best_champion_that_cannot_be_loaded_is_reported(registry):
    register_series(registry, 0, 1)
    registry.versions.set_tags("1", {"metric_code_sha256": "earlier code"})

    def fail(folder):
        raise ModelError(f"{folder.name}: not a model's settings")

    result = register_series(registry, 2, score=fail)
    assert result.startswith("version 3 is the champion")
    reason = "it cannot be loaded (artifacts: not a model's settings)"
    assert result.endswith(f"; not compared with version 1, the best champion so far: {reason}")


def test_the_best_champion_is_measured_again_by_the_present_code(registry):
    register_series(registry, 0, 1)
    registry.versions.set_tags("1", {"metric_code_sha256": "earlier code"})
    score, scored = scorer({"model 0": {"a": 0.7, "b": 0.6}})
    result = register_series(registry, 2, score=score)
    assert scored == ["model 0"]
    # By the new measurement it is worse than the champion, which is then the best so far.
    assert result.startswith("version 3 is the champion")
    assert "best" not in result


def test_a_best_champion_without_a_table_of_the_test_cases_is_reported_and_not_compared(registry):
    register_series(registry, 0, 1)
    rules = registry.rules(margin=0.01)
    score, scored = scorer({"model 1": {"c": 0.6}})
    result = registry.register("model 2", score, rules=rules, c=0.591)
    assert scored == ["model 1"]  # the champion
    assert result.startswith("version 3 is the champion")
    reason = "it has no table of these test cases"
    assert result.endswith(f"; not compared with version 1, the best champion so far: {reason}")
    # The champion, which was measured on the new cases, is the best from now on.
    assert registry.tags(3)["best_champion"] == "2"
    result = registry.register("model 3", rules=rules, c=0.582)
    assert "against the best champion so far, version 2: mean Dice -0.0180" in result


def test_a_champion_that_was_rolled_back_by_hand_is_no_baseline(registry):
    registry.register("one", a=0.7)
    registry.register("two", a=0.8)
    registry.versions.roll_back()
    result = registry.register("three", a=0.75)
    assert result.startswith("version 3 is the champion: no worse on 1 test cases: mean Dice +0.0500")
    assert "best" not in result
