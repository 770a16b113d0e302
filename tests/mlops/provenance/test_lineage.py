"""The lineage of a registered version: complete, and with each entry missing that can be missing."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import mlflow
import pytest
import yaml

from glioseg.cli.registry import lineage
from glioseg.mlops.provenance.lineage import trace_lineage
from glioseg.mlops.provenance.lineage_figure import POSITIONS
from glioseg.mlops.provenance.record import lineage_folder, open_version
from glioseg.mlops.tracking.git_dvc import git_output
from glioseg.mlops.tracking.mlflow_runs import connect
from tests.helpers.projects import commit, succeed
from tests.helpers.stand_in import register_project

NAMES = [
    "registered version", "recorded files", "evaluation run", "training run", "study", "trial", "parameters",
    "split", "cropped data", "validation of cropped data", "raw data", "validation of raw data", "git commit",
    "environment",
]  # fmt: skip
FROM_TAGS = {"registered version", "training run", "cropped data", "git commit", "environment"}


@pytest.fixture
def client(shared_storage):
    return connect(shared_storage)


def entries(client, address, root):
    return {entry.name: entry for entry in trace_lineage(client, open_version(client, address), root=root)}


def missing_entries(client, address, root):
    return {name: entry.missing for name, entry in entries(client, address, root).items() if entry.missing}


def folder(address):
    name = address.removeprefix("models:/").partition("@")[0]
    return Path(mlflow.artifacts.download_artifacts(f"models:/{name}@champion/{lineage_folder(name, '1')}"))


def test_each_entry_has_its_value_and_source(client, project, common_root):
    found = entries(client, register_project(client, "whole"), project)
    assert list(found) == NAMES
    assert set(NAMES) == set(POSITIONS)  # the figure has a place for each
    assert not [entry.missing for entry in found.values() if entry.missing]
    assert all(entry.source for entry in found.values())
    locked = {
        out["path"]: out["md5"]
        for stage in yaml.safe_load((project / "dvc.lock").read_text())["stages"].values()
        for out in stage["outs"]
    }
    identity = json.loads((project / "identity.json").read_text())
    assert found["registered version"].value.startswith("whole version 1, champion; ")
    assert found["training run"].value == f"{identity['run_id']} “a training”, running"
    assert identity["study"]["run_id"] in found["study"].value
    assert "number 4, the best" in found["trial"].value
    assert found["split"].value == f"1 train, 1 validation, 1 test; MD5 {locked['data/splits.json']}"
    assert found["cropped data"].value == f"MD5 {locked['data/cropped']}"
    raw = f"3 cases of the built-in phantom generator; MD5 {locked['data/raw']}"
    assert found["raw data"].value == raw
    report = locked["reports/validation/raw.json"]
    assert found["validation of raw data"].value == f"passed: 3 accepted; MD5 {report}"
    params = sha256((project / "params.yaml").read_bytes()).hexdigest()
    assert found["parameters"].value == f"params.yaml SHA-256 {params}; by the study: dropout 0.25"
    assert found["git commit"].value == f"{git_output(project, 'rev-parse', 'HEAD').strip()}, without changes"


def test_a_deleted_training_run_and_one_of_another_database_are_missing(client, project):
    address = register_project(client, "orphan")
    run_id = json.loads((project / "identity.json").read_text())["run_id"]
    client.delete_run(run_id)
    try:
        assert missing_entries(client, address, project) == {
            "training run": f"run {run_id} was deleted; to restore it: `MLFLOW_TRACKING_URI="
            "$(python -m glioseg.mlops.tracking.storage tracking) mlflow runs restore"
            f" --run-id {run_id}`"
        }
    finally:
        client.restore_run(run_id)
    record = {"run_id": "0" * 32, "model_id": "m-elsewhere"}
    Path("reports/calibrate/model.json").unlink()
    Path("reports/calibrate/model.json").write_text(json.dumps(record))
    missing = missing_entries(client, register_project(client, "pulled"), project)
    assert list(missing) == ["training run"]
    assert "is not in this database" in missing["training run"]


def test_a_study_of_another_database_is_missing(client, project):
    elsewhere = {"study": "study-9", "trial": 1, "run_id": "1" * 32}
    shutil.rmtree("reports/tune")
    Path("reports/tune").mkdir()
    Path("reports/tune/best_params.json").write_text("{}")
    Path("reports/tune/study.json").write_text(json.dumps(elsewhere))
    missing = missing_entries(client, register_project(client, "study-elsewhere"), project)
    assert list(missing) == ["study", "trial"]
    assert "is not in this database" in missing["study"]
    assert missing["trial"] == "the run of trial 1 of study-9 is not in this database"


def test_without_a_study_the_lineage_is_complete(client, project):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["tune"]["trials"] = 0
    Path("params.yaml").write_text(yaml.safe_dump(params))
    found = entries(client, register_project(client, "untuned"), project)
    assert found["study"].value == found["trial"].value == "none: tune.trials is 0"
    assert not any(entry.missing for entry in found.values())
    assert found["git commit"].value.endswith(" with source.patch (params.yaml)")


def test_files_that_differ_from_dvc_lock_are_missing(client, project):
    Path("data/splits.json").unlink()
    Path("data/splits.json").write_text('{"train": [], "validation": [], "test": ["c"]}')
    Path("reports/validation/raw.json").unlink()
    missing = missing_entries(client, register_project(client, "by-hand"), project)
    assert missing.keys() == {"split", "validation of raw data"}
    assert missing["split"] == "data/splits.json differed from its hash in dvc.lock"
    assert "reports/validation/raw.json" in missing["validation of raw data"]


def test_without_a_run_with_the_same_table_the_evaluation_run_is_missing(client, project, monkeypatch):
    monkeypatch.setattr("tests.helpers.stand_in.log_evaluation", lambda **given: None)
    table = Path("reports/per_case.csv")
    text = table.read_text().replace("0.75", "0.76")
    table.unlink()
    table.write_text(text)
    assert list(missing_entries(client, register_project(client, "unseen"), project)) == ["evaluation run"]


def test_untracked_code_is_named(client, project):
    Path("src/extra.py").write_text("x = 1\n")
    missing = missing_entries(client, register_project(client, "untracked"), project)
    assert list(missing) == ["git commit"]
    assert missing["git commit"].endswith("but stages used files that git does not track: src/extra.py")


def test_a_project_without_git_has_no_commit(client, project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    shutil.rmtree(".git")
    missing = missing_entries(client, register_project(client, "no-git"), project)
    assert missing == {"git commit": "there was no git, no repository or no commit"}


def test_a_commit_that_the_clone_lacks_is_named(client, project):
    address = register_project(client, "elsewhere")
    shutil.rmtree(".git")
    succeed(project, "git", "init", "-q")
    for key, value in {"name": "A", "email": "a@example.org"}.items():
        succeed(project, "git", "config", f"user.{key}", value)
    commit(project, "Another history")
    missing = missing_entries(client, address, project)
    assert list(missing) == ["git commit"]
    assert "is not in this repository" in missing["git commit"]


def test_a_changed_recorded_file_is_named(client, project):
    address = register_project(client, "changed")
    table = folder(address) / "per_case.csv"
    table.write_text(table.read_text() + " ")
    missing = missing_entries(client, address, project)
    assert missing == {"recorded files": "changed after the version was registered: per_case.csv"}


def test_a_changed_record_is_not_used(client, project):
    address = register_project(client, "forged")
    record = folder(address) / "lineage.json"
    record.write_text(record.read_text().replace("passed", "excellent"))
    missing = missing_entries(client, address, project)
    assert missing.keys() == set(NAMES) - FROM_TAGS
    assert missing["validation of raw data"] == "lineage.json was changed after the version was registered"


def test_a_version_without_a_record_has_the_entries_that_its_tags_contain(client, project):
    Path("models/calibrated/settings.json").unlink()
    Path("models/calibrated/settings.json").write_text("{}")  # another model, without a lineage
    address = register_project(client, "older", recorder=lambda client, name, version: None)
    missing = missing_entries(client, address, project)
    assert missing.keys() == set(NAMES) - FROM_TAGS
    assert "registered before glioseg recorded lineages" in missing["split"]


def test_the_command_prints_text_or_json_and_fails_if_an_entry_is_missing(client, project, capsys):
    address = register_project(client, "asked")
    lineage(address, output=Path("out/lineage.svg"))
    output = capsys.readouterr().out
    assert output.endswith("nothing is missing\n")
    assert Path("out/lineage.svg").is_file()
    shutil.rmtree(folder(address))
    with pytest.raises(SystemExit, match="1"):
        lineage(address, as_json=True)
    output = json.loads(capsys.readouterr().out)
    assert output["model"] == "models:/asked/1"
    assert output["complete"] is False
    assert [link["name"] for link in output["links"]] == NAMES
    with pytest.raises(SystemExit, match=r"lineage\.pdf: expected a name that ends in \.svg or \.png"):
        lineage(address, output=Path("lineage.pdf"))
