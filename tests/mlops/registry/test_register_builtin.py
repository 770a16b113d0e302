"""The built-in model as the first version of an empty registry."""

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

import glioseg
from glioseg.data.cohort.cases import COHORT, read_cases
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.leaderboard.page import leaderboard
from glioseg.mlops.provenance.builtin_record import builtin_card
from glioseg.mlops.provenance.lineage import trace_lineage
from glioseg.mlops.provenance.lineage_figure import draw_lineage
from glioseg.mlops.provenance.record import open_version
from glioseg.mlops.registry.promotion import GATE_DECISION
from glioseg.mlops.registry.register import HeldOutCases, register_builtin, register_candidate
from glioseg.mlops.tracking.run_tags import TEST_FILES, evaluation_origin
from glioseg.models import builtin
from glioseg.params.contract import Contract
from glioseg.params.pretraining import load_pretraining
from tests.helpers import trainings
from tests.helpers.projects import write_case
from tests.helpers.registries import ELSEWHERE

ROOT = Path(__file__).parents[3]
CASES = [f"case {number}" for number in range(6)]


class StubCases(HeldOutCases):
    """Six test cases with given Dice, since an evaluation would take minutes."""

    def evaluate(self, folder, *, pictures=None):
        assert folder == builtin.FOLDER
        (pictures / "case 0.png").write_bytes(b"a picture")
        errors = {f"calibration_error_{region}": 0.01 for region in ("wt", "tc", "et")}
        rows = [trainings.row(case, (0.8, 0.7, 0.6)) | errors for case in CASES]
        return pd.DataFrame(rows), {"case_s": 1.0, "memory_gb": 1.0}

    @property
    def files_hash(self):
        return trainings.TEST_DATA


class Killed(BaseException):
    """Stands for a kill of the process: nothing catches it."""


def register_both(registry, monkeypatch):
    """The first registration of a project: the built-in model, then a trained one."""
    monkeypatch.setattr("glioseg.mlops.registry.register.record_lineage", lambda client, name, version: None)
    dice = dict.fromkeys(CASES, 0.6)
    return register_candidate(
        registry.storage,
        registry.rules(samples=100, builtin=True),
        registry.model_files("trained"),
        registry.evaluation("trained", **dice),
        run_id=ELSEWHERE,
        tests=StubCases(Path("cohort.csv"), CASES, Contract()),
    ).splitlines()[0]


def register_it(registry):
    return register_builtin(
        registry.client,
        rules=registry.rules(samples=100),
        package=Path(glioseg.__file__).parent,
        tests=StubCases(Path("cohort.csv"), CASES, Contract()),
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


@pytest.mark.usefixtures("stub_figure")
@pytest.mark.parametrize(
    "killed_in", ["log_model_artifact", "set_model_version_tag", "set_registered_model_alias"]
)
def test_a_killed_registration_of_the_builtin_model_is_completed_before_a_trained_one(
    registry, monkeypatch, killed_in
):
    def die(*given, **named):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, killed_in, die)
        with pytest.raises(Killed):
            register_both(registry, monkeypatch)
    assert GATE_DECISION not in registry.tags(1)
    line = register_both(registry, monkeypatch)
    assert registry.tags(1)[GATE_DECISION] == "version 1 is the champion: the first champion"
    assert line.startswith("version 2 is registered, version 1 stays champion: WT Dice -0.2000")
    assert registry.aliases == {"champion": 1, "challenger": 2}
    assert register_both(registry, monkeypatch).startswith("version 2 is this model already")


def test_the_lineage_of_the_builtin_model_has_its_training(registered):
    recorded = open_version(registered.client, f"models:/{registered.name}/1")
    entries = {entry.name: entry for entry in trace_lineage(registered.client, recorded, root=ROOT)}
    assert list(entries) == [
        "registered version",
        "recorded files",
        "evaluation run",
        "training",
        "data",
        "validation data",
        "calibration",
        "confidence",
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
    assert entries["training"].value.startswith(f"{record['steps']} steps")


def test_the_lineage_of_the_builtin_model_names_the_real_cases_of_its_confidence(registered, tmp_path):
    real = json.loads((builtin.FOLDER / builtin.RECORD).read_text())["calibrated_on_real_cases"]
    recorded = open_version(registered.client, f"models:/{registered.name}/1")
    entries = trace_lineage(registered.client, recorded, root=ROOT)
    (confidence,) = [entry.value for entry in entries if entry.name == "confidence"]
    assert confidence.startswith(f"learned on {len(real['cases'])} real cases: ")
    assert f"; at commit {real['sha']}" in confidence
    card = registered.artifact(1, f"lineage/{registered.name}-1/model_card.md").read_text()
    for case in real["cases"]:
        assert case in confidence
        assert case in card
    draw_lineage(entries, tmp_path / "chain.svg", title="")
    assert "<!-- confidence -->" in (tmp_path / "chain.svg").read_text()


def test_the_lineage_and_the_card_name_the_real_cases_of_the_training(registered, tmp_path):
    recorded = open_version(registered.client, f"models:/{registered.name}/1")
    facts = recorded.record.facts["pretraining"]
    facts["real_cases"] = {"sha256": {"A": "1a", "B": "2b", "C": "3c"}, "folds": {"A": 0, "B": 1, "C": 0}}
    traced = trace_lineage(registered.client, recorded, root=ROOT)
    entries = {entry.name: entry.value for entry in traced}
    assert entries["data"].endswith("; 3 real cases: A, B, C, whose files have a recorded SHA-256")
    assert entries["validation data"] == "cross-validation of the real cases in 2 folds"
    published = registered.artifact(1, f"lineage/{registered.name}-1/metrics.json")
    builtin_card(registered.name, "1", recorded.record, json.loads(published.read_text())).write(tmp_path)
    card = (tmp_path / "model_card.md").read_text()
    assert "trained on synthetic and 3 real cases. Mean Dice" in card
    assert "The last of them also used 3 real cases: A, B, C." in card
    assert "No scan of a patient" not in card


def test_the_lineage_of_a_builtin_model_without_real_cases_has_no_confidence(registered):
    recorded = open_version(registered.client, f"models:/{registered.name}/1")
    del recorded.record.facts["pretraining"]["calibrated_on_real_cases"]
    entries = trace_lineage(registered.client, recorded, root=ROOT)
    assert "confidence" not in [entry.name for entry in entries]


def test_the_lineage_figure_of_the_builtin_model_is_drawn(registered, tmp_path):
    recorded = open_version(registered.client, f"models:/{registered.name}@champion")
    entries = trace_lineage(registered.client, recorded, root=ROOT)
    draw_lineage(entries, tmp_path / "chain.svg", title="How it came to be")
    assert (tmp_path / "chain.svg").read_text().startswith("<?xml")


def test_the_builtin_model_has_a_card_with_its_dice_on_the_test_cases(registered):
    card = registered.artifact(1, f"lineage/{registered.name}-1/model_card.md").read_text()
    assert "Mean Dice on 6 test cases of this project: WT 0.800, TC 0.700, ET 0.600." in card
    real = json.loads((builtin.FOLDER / builtin.RECORD).read_text())["real_cases"]["sha256"]
    assert f"The last of them also used 13 real cases: {', '.join(real)}." in card
    assert "Its probabilities are calibrated on synthetic cases" not in card
    page = registered.artifact(1, f"lineage/{registered.name}-1/model_card.html").read_text()
    assert "0.8 (0.8 to 0.8)" in page


def test_the_tags_of_the_builtin_model_name_the_package_and_not_the_project(registered):
    tags = registered.tags(1)
    record = json.loads((builtin.FOLDER / builtin.RECORD).read_text())
    assert tags["source"] == f"glioseg {version('glioseg')}, built in"
    assert tags["source_sha256"] == sha256((builtin.FOLDER / "SHA256SUMS").read_bytes()).hexdigest()
    assert tags["git_commit"] == record["trained"][-1]["sha"]
    assert not tags.keys() & {"data_version", "preset"}


def test_the_builtin_model_is_on_the_experiments_page_as_champion(registered):
    (found,) = [
        model
        for model in find_evaluations(registered.client).shown
        if any(each.name == registered.name for each in model.versions)
    ]
    (row,) = leaderboard([found])
    assert [cell.text for cell in row.cells[:4]] == ["0.700", "0.800", "0.700", "0.600"]
    assert f"{registered.name} 1 @champion" in row.facts[0].text
    source = f"glioseg {version('glioseg')}, built in"
    assert [fact.text for fact in row.facts[1:3]] == ["built-in model", source]
    assert list(found.pictures) == ["case 0"]
    assert found.test_set == trainings.TEST_DATA


def test_the_hash_of_the_test_cases_is_that_of_stage_evaluate(tmp_path):
    """So the built-in version and a trained one share a table of the experiments page."""
    raw = tmp_path / "raw"
    for index in range(2):
        write_case(tmp_path / "scans", index)
    acquire_folder(raw, source=tmp_path / "scans", records=tmp_path / "records")
    cases = read_cases(raw / COHORT, ["Patient 1"])
    origin = evaluation_origin(
        (file for case in cases for file in case.files.values()), raw, {"run_id": "", "model_id": ""}
    )
    tests = HeldOutCases(raw / COHORT, ["Patient 1"], Contract())
    assert tests.files_hash == origin[TEST_FILES]
