"""Tables of registered versions: reused for the same cases and metric code, and measured again otherwise."""

import json

import pytest

from glioseg.mlops.registry.case_tables import mean_dice, read_table, worst_calibration_error
from glioseg.mlops.registry.gate import GateError
from glioseg.params.sections import PromotionLimits
from tests.helpers.gate import table
from tests.helpers.registries import scorer

pytestmark = pytest.mark.usefixtures("stub_figure")


def test_after_a_change_of_the_metric_code_both_models_are_measured_again(registry):
    """By the stored tables the second model loses 0.3 Dice; by the present code it gains 0.1."""
    registry.register("one", a=0.9)
    registry.versions.set_tags("1", {"metric_code_sha256": "earlier code"})
    registry.code["metric_code"] = "earlier code"
    registry.measured["calibration_error"] = 0.06
    score, scored = scorer({"one": {"a": 0.7}, "two": {"a": 0.8}})
    limits = PromotionLimits(calibration_error=0.05, case_s=None, memory_gb=None)
    result = registry.register("two", score, rules=registry.rules(limits=limits), a=0.6)
    assert scored == ["one", "two"]
    assert result.startswith("version 2 is the champion: no worse on 1 test cases: mean Dice +0.1000")
    assert registry.tags(2)["calibration_error"] == "0.03"  # of the worst region, by the present code


def test_a_champion_is_measured_only_once_by_new_metric_code(registry):
    registry.register("one", a=0.9)
    registry.versions.set_tags("1", {"metric_code_sha256": "earlier code"})
    score, scored = scorer({"one": {"a": 0.7}})
    assert registry.register("two", score, a=0.6).startswith(
        "version 2 is registered, version 1 stays champion"
    )
    assert registry.register("three", score, a=0.8).startswith("version 3 is the champion: no worse")
    assert scored == ["one"]


def test_a_champion_with_a_table_of_other_cases_is_evaluated_on_the_present_ones(registry):
    registry.register("one", a=0.9)
    scored = []

    def score(folder):
        scored.append((folder / "model.keras").read_text())
        assert json.loads((folder / "settings.json").read_text()) == {"test": registry.folder.name}
        return table(b=0.5)

    registry.register("two", score, b=0.6)
    assert scored == ["one"]
    assert registry.aliases["champion"] == 2


def test_a_champion_with_a_table_of_other_data_is_evaluated_again(registry):
    registry.register("one", a=0.9)
    (registry.folder / "dvc.lock").write_text("stages: {crop: {outs: [{path: data/cropped, md5: '1.dir'}]}}")
    with pytest.raises(AssertionError, match="got a new evaluation"):
        registry.register("two", a=0.6)


def test_a_file_without_a_table_is_an_error_that_names_it(tmp_path):
    (tmp_path / "per_case.csv").write_bytes(b"")
    with pytest.raises(GateError, match=r"per_case\.csv: expected a table of cases: "):
        read_table(tmp_path / "per_case.csv")


def test_means_are_over_cases_and_the_worst_region_counts():
    rows = table(a=0.5, b=1.0).assign(
        calibration_error_wt=[0.0, 0.0], calibration_error_tc=[0.25, 0.0], calibration_error_et=[0.0, 0.125]
    )
    assert mean_dice(rows) == 0.75
    assert worst_calibration_error(rows) == 0.125
