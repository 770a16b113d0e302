"""The built-in model as the first version of an empty registry."""

import json
from pathlib import Path

import pandas as pd
import pytest

import glioseg
from glioseg.mlops.provenance.lineage import trace_lineage
from glioseg.mlops.provenance.record import open_version
from glioseg.mlops.registry.register import register_builtin
from glioseg.models import builtin
from glioseg.params.pretraining import load_pretraining

ROOT = Path(__file__).parents[3]
CASES = [f"case {number}" for number in range(6)]


def evaluation(folder):
    """A table like that of `evaluate_cases`, which would take minutes."""
    assert folder == builtin.FOLDER
    numbers = {"dice_wt": 0.8, "dice_tc": 0.7, "dice_et": 0.6}
    errors = {f"calibration_error_{region}": 0.01 for region in ("wt", "tc", "et")}
    return pd.DataFrame({"case": CASES} | numbers | errors), {"case_s": 1.0, "memory_gb": 1.0}


def register_it(registry):
    return register_builtin(
        registry.client,
        rules=registry.rules(),
        package=Path(glioseg.__file__).parent,
        cases=CASES,
        evaluate=evaluation,
    )


@pytest.fixture
def registered(registry):
    """A registry whose first version is the built-in model."""
    assert register_it(registry) == "version 1 is the champion: the first champion"
    return registry


def test_the_builtin_model_is_version_1_once_and_the_champion(registered):
    assert registered.aliases == {"champion": 1}
    assert register_it(registered) == "version 1 is this model already; the champion is version 1"
    (only,) = registered.client.search_model_versions(f"name = '{registered.name}'")
    assert int(only.version) == 1


def test_the_lineage_of_the_builtin_model_has_its_training(registered):
    version = open_version(registered.client, f"models:/{registered.name}/1")
    entries = {entry.name: entry for entry in trace_lineage(registered.client, version, root=ROOT)}
    assert list(entries) == [
        "registered version",
        "recorded files",
        "training",
        "data",
        "validation data",
        "calibration",
        "git commit",
        "environment",
    ]
    missing = {name for name, entry in entries.items() if entry.missing}
    assert missing <= {"git commit"}  # a shallow clone lacks commits
    plan = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    assert f"seed {plan.stream.seed}" in entries["data"].value
    record = json.loads((builtin.FOLDER / builtin.RECORD).read_text())
    assert entries["git commit"].value.startswith(record["trained"][-1]["sha"]) or missing
    assert record["trained"][-1]["environment"] in entries["environment"].value
    assert entries["training"].value.startswith(
        f"{sum(p.epochs * p.steps_per_epoch for p in plan.phases)} steps"
    )
