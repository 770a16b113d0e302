"""The tags by which a version that was decided upon already is recognised."""

import json
from dataclasses import replace
from hashlib import sha256

from glioseg.mlops.registry.candidate import already_registered, gate_measures, identifying_tags
from tests.helpers.gate import make_rules


def test_each_of_files_cases_table_code_and_rules_changes_its_own_tag(registry):
    files, evaluation, rules = (
        registry.model_files("one"),
        registry.evaluation("one", a=0.7, b=0.5),
        make_rules(),
    )
    tags = identifying_tags(files, evaluation, rules)
    table = (registry.folder / "one" / "per_case.csv").read_bytes()
    assert tags["per_case_sha256"] == sha256(table).hexdigest()
    test_set = json.dumps(["unknown", ["a", "b"]])  # there is no dvc.lock
    assert tags["test_set_sha256"] == sha256(test_set.encode()).hexdigest()
    others = {
        "content_sha256": identifying_tags(registry.model_files("two"), evaluation, rules),
        "per_case_sha256": identifying_tags(files, registry.evaluation("two", a=0.7, b=0.6), rules),
        "test_set_sha256": identifying_tags(files, replace(evaluation, cases=["a"]), rules),
        "metric_code_sha256": identifying_tags(files, replace(evaluation, metric_code="x"), rules),
        "gate_sha256": identifying_tags(files, evaluation, make_rules(margin=0.01)),
    }
    assert others.keys() == tags.keys()
    for name, other in others.items():
        assert {key for key in tags if tags[key] != other[key]} == {name}


def test_the_name_of_the_registered_model_is_no_rule_of_the_gate(registry):
    files, evaluation = registry.model_files("one"), registry.evaluation("one", a=0.7)
    one, other = (identifying_tags(files, evaluation, make_rules(name)) for name in ("one", "other"))
    assert one == other


def test_the_worst_region_s_calibration_error_is_measured_beside_time_and_memory():
    errors = {"WT": {"mean": 0.25}, "TC": {"mean": 0.5}, "ET": {"mean": 0.125}}
    assert gate_measures({"calibration_error": errors}, {"case_s": 2.0, "memory_gb": 1.0}) == {
        "calibration_error": 0.5,
        "case_s": 2.0,
        "memory_gb": 1.0,
    }


def test_the_line_about_a_registered_model_names_the_champion_if_there_is_one():
    assert already_registered(3, "2") == "version 3 is this model already; the champion is version 2"
    assert already_registered(3, None) == (
        "version 3 is this model already;"
        " there is no champion; `glioseg rollback --to 3` makes version 3 the champion"
    )
