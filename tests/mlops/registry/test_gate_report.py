"""The decision as a table, and as the files that are logged with the version."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from glioseg.mlops.registry.gate import BEST_ROLE, CHAMPION_ROLE, COMPARED, Baseline, decide
from glioseg.mlops.registry.gate_report import decision_table, write_gate_files
from glioseg.params.sections import PromotionLimits
from tests.helpers.gate import decide_on, make_rules, random_table, table

NAMES = {"version": "6", "compared_with": "4", "decision": "the decision in one line"}


def test_the_gate_files_hold_every_case_and_a_figure(tmp_path):
    rules = make_rules(
        margin=0.02, limits=PromotionLimits(calibration_error=0.05, case_s=None, memory_gb=None)
    )
    baselines = [
        Baseline("4", CHAMPION_ROLE, random_table(2, shift=0.2)),
        Baseline("2", BEST_ROLE, random_table(3, shift=0.3)),
    ]
    remarks = ["a remark"]
    decision = decide(
        random_table(1), baselines, rules=rules, measured={"calibration_error": 0.01}, remarks=remarks
    )
    write_gate_files(tmp_path, decision, rules=rules, names=NAMES)
    record = json.loads((tmp_path / "decision.json").read_text())
    assert record.items() >= {**NAMES, "promoted": False}.items()
    assert record["rules"] == rules.model_dump()
    assert [(each["version"], each["role"]) for each in record["compared"]] == [
        ("4", CHAMPION_ROLE),
        ("2", BEST_ROLE),
    ]
    for each in record["compared"]:
        assert [row["region"] for row in each["regions"]] == list(COMPARED)
    assert record["remarks"] == remarks
    assert record["limits"] == [{"name": "calibration_error", "value": 0.01, "limit": 0.05, "passed": True}]
    rows = pd.read_csv(tmp_path / "cases.csv")
    assert rows["compared_with"].tolist() == [4] * 30 * len(COMPARED) + [2] * 30 * len(COMPARED)
    np.testing.assert_allclose(rows["candidate"] - rows["baseline"], rows["difference"])
    with Image.open(tmp_path / "differences.png") as picture:
        assert min(picture.size) > 800  # a row of panels for each baseline
        assert len(picture.convert("RGB").getcolors(picture.width * picture.height)) > 50


def test_the_gate_files_of_the_first_champion_have_no_comparison(tmp_path):
    write_gate_files(tmp_path, decide_on(table(a=0.9), None), rules=make_rules(), names=NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["decision.json"]
    assert json.loads((tmp_path / "decision.json").read_text())["compared"] == []


def test_the_table_shows_each_region_and_limit():
    limits = PromotionLimits(calibration_error=0.05, case_s=1, memory_gb=None)
    new, champion = table(a=(0.9, 0.6, 0.3)), table(a=(0.8, 0.7, 0.0))
    decision = decide_on(new, champion, {"calibration_error": 0.01, "case_s": 2}, margin=0.02, limits=limits)
    lines = [line.split() for line in decision_table(decision).splitlines()]
    assert lines[1] == ["WT", "0.800", "0.900", "+0.1000", "+0.1000", "0.02"]
    assert lines[2] == ["TC", "0.700", "0.600", "-0.1000", "-0.1000", "0.02", "does", "not", "pass"]
    assert [line[0] for line in lines[1:]] == [*COMPARED, "calibration_error", "case_s"]
    assert lines[-2][1:] == ["0.01,", "limit", "0.05"]
    assert lines[-1][-3:] == ["does", "not", "pass"]
    assert decision_table(decide_on(table(a=0.9), None)) == ""
