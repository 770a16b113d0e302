"""The chain of a registered version: whole, and with each link lost that can be lost."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from hashlib import sha256
from pathlib import Path

import mlflow
import pytest
import yaml

from glioseg.cli.lineage import lineage
from glioseg.mlops.provenance.lineage import chain
from glioseg.mlops.provenance.lineage_figure import PLACES, draw_chain
from glioseg.mlops.provenance.record import LineageError, open_version
from glioseg.mlops.provenance.recorder import folder_of
from glioseg.mlops.tracking.fingerprints import git
from glioseg.mlops.tracking.mlflow_runs import connect
from tests.helpers.projects import commit, succeed
from tests.helpers.stand_in import offer

NAMES = [
    "registered version", "kept files", "evaluation run", "training run", "study", "trial", "parameters",
    "split", "cropped data", "validation of cropped data", "raw data", "validation of raw data", "git commit",
    "environment",
]  # fmt: skip
KNOWN_BY_TAGS = {"registered version", "training run", "cropped data", "git commit", "environment"}


@pytest.fixture
def client(common_lab):
    return connect(common_lab)


def links(client, address, root):
    return {link.name: link for link in chain(client, open_version(client, address), root=root)}


def lost(client, address, root):
    return {name: link.missing for name, link in links(client, address, root).items() if link.missing}


def folder(address):
    name = address.removeprefix("models:/").partition("@")[0]
    return Path(mlflow.artifacts.download_artifacts(f"models:/{name}@champion/{folder_of(name, '1')}"))


def top(address):
    return mlflow.artifacts.download_artifacts(address)


def test_each_link_says_what_it_is_and_where_it_was_read(client, project, common_root):
    found = links(client, offer(client, "whole"), project)
    assert list(found) == NAMES
    assert not [link.missing for link in found.values() if link.missing]
    assert all(link.source for link in found.values())
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
    raw = f"3 cases of the built-in phantoms; MD5 {locked['data/raw']}"
    assert found["raw data"].value == raw
    verdict = locked["reports/validation/raw.json"]
    assert found["validation of raw data"].value == f"passed: 3 accepted; MD5 {verdict}"
    params = sha256((project / "params.yaml").read_bytes()).hexdigest()
    assert found["parameters"].value == f"params.yaml SHA-256 {params}; by the study: dropout 0.25"
    assert found["git commit"].value == f"{git(project, 'rev-parse', 'HEAD').strip()}, no file differed"


def test_a_training_run_that_was_deleted_is_named_and_so_is_one_that_never_was_here(client, project):
    address = offer(client, "orphan")
    run_id = json.loads((project / "identity.json").read_text())["run_id"]
    client.delete_run(run_id)
    try:
        assert lost(client, address, project) == {
            "training run": f"run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` undoes it"
        }
    finally:
        client.restore_run(run_id)
    record = {"run_id": "0" * 32, "model_id": "m-elsewhere"}
    Path("reports/calibrate/model.json").unlink()
    Path("reports/calibrate/model.json").write_text(json.dumps(record))
    missing = lost(client, offer(client, "pulled"), project)
    assert list(missing) == ["training run"]
    assert "is not in this database" in missing["training run"]


def test_a_study_of_another_database_is_not_invented(client, project):
    elsewhere = {"study": "study-9", "trial": 1, "run_id": "1" * 32}
    shutil.rmtree("reports/tune")
    Path("reports/tune").mkdir()
    Path("reports/tune/best_params.json").write_text("{}")
    Path("reports/tune/study.json").write_text(json.dumps(elsewhere))
    missing = lost(client, offer(client, "study-elsewhere"), project)
    assert list(missing) == ["study", "trial"]
    assert "is not in this database" in missing["study"]
    assert missing["trial"] == "the run of trial 1 of study-9 is not in this database"


def test_where_no_study_was_asked_for_the_chain_says_so_and_is_whole(client, project):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["tune"]["trials"] = 0
    Path("params.yaml").write_text(yaml.safe_dump(params))
    found = links(client, offer(client, "untuned"), project)
    assert found["study"].value == found["trial"].value == "none was asked for: tune.trials is 0"
    assert not any(link.missing for link in found.values())
    assert found["git commit"].value.endswith(" with source.patch (params.yaml)")


def test_files_that_are_not_those_of_dvc_lock_are_missing(client, project):
    Path("data/splits.json").unlink()
    Path("data/splits.json").write_text('{"train": [], "validation": [], "test": ["c"]}')
    Path("reports/validation/raw.json").unlink()
    missing = lost(client, offer(client, "by-hand"), project)
    assert missing.keys() == {"split", "validation of raw data"}
    assert missing["split"] == "data/splits.json was not the file that dvc.lock named"
    assert "reports/validation/raw.json" in missing["validation of raw data"]


def test_a_table_that_no_run_made_has_no_evaluation_run(client, project, monkeypatch):
    monkeypatch.setattr("stand_in.log_evaluation", lambda **given: None)
    table = Path("reports/per_case.csv")
    text = table.read_text().replace("0.75", "0.76")
    table.unlink()
    table.write_text(text)
    assert list(lost(client, offer(client, "unseen"), project)) == ["evaluation run"]


def test_code_that_git_does_not_know_is_named(client, project):
    Path("src/extra.py").write_text("x = 1\n")
    missing = lost(client, offer(client, "untracked"), project)
    assert list(missing) == ["git commit"]
    assert missing["git commit"].endswith("but files ran that git does not track: src/extra.py")


def test_a_project_without_git_has_no_commit(client, project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    shutil.rmtree(".git")
    missing = lost(client, offer(client, "no-git"), project)
    assert missing == {"git commit": "there was no git, no repository or no commit"}


def test_a_commit_that_is_not_here_is_named(client, project):
    address = offer(client, "elsewhere")
    shutil.rmtree(".git")
    succeed(project, "git", "init", "-q")
    for key, value in {"name": "A", "email": "a@example.org"}.items():
        succeed(project, "git", "config", f"user.{key}", value)
    commit(project, "Another history")
    missing = lost(client, address, project)
    assert list(missing) == ["git commit"]
    assert "is not in this repository" in missing["git commit"]


def test_a_kept_file_that_was_changed_is_named(client, project):
    address = offer(client, "changed")
    table = folder(address) / "per_case.csv"
    table.write_text(table.read_text() + " ")
    missing = lost(client, address, project)
    assert missing == {"kept files": "changed after the version was registered: per_case.csv"}


def test_a_record_that_was_changed_is_not_believed(client, project):
    address = offer(client, "forged")
    record = folder(address) / "lineage.json"
    record.write_text(record.read_text().replace("passed", "praised"))
    missing = lost(client, address, project)
    assert missing.keys() == set(NAMES) - KNOWN_BY_TAGS
    assert missing["validation of raw data"] == "lineage.json was changed after the version was registered"


def test_a_model_of_two_names_has_two_lineages(client, project):
    one, other = offer(client, "one-name"), offer(client, "other-name")
    assert top(one) == top(other)
    assert lost(client, one, project) == lost(client, other, project) == {}


def test_an_older_version_tells_what_its_tags_tell(client, project):
    Path("models/calibrated/settings.json").unlink()
    Path("models/calibrated/settings.json").write_text("{}")  # a model that nothing was kept with
    address = offer(client, "older", keep=lambda client, name, version: None)
    missing = lost(client, address, project)
    assert missing.keys() == set(NAMES) - KNOWN_BY_TAGS
    assert "registered before glioseg kept a lineage" in missing["split"]


@pytest.mark.parametrize("address", ["models:/none/1", "models:/none@champion", "glioseg", "models:/a/b"])
def test_another_address_is_an_error(client, address):
    with pytest.raises(LineageError, match=f"^{address}: (not in the registry|expected models:/NAME)"):
        open_version(client, address)


@pytest.mark.parametrize(("ending", "begins"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_picture_shows_every_link_and_is_the_same_each_time(client, project, ending, begins):
    found = links(client, offer(client, "drawn"), project)
    assert set(PLACES) == set(found)
    one, other = (project / f"{name}{ending}" for name in ("one", "other"))
    for path in (one, other):
        draw_chain(list(found.values()), path, title="How it came to be")
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(begins)
    if ending == ".svg":
        assert ElementTree.parse(one).getroot().tag.endswith("svg")


def test_the_command_prints_text_or_json_and_its_exit_code_says_whether_a_link_is_missing(
    client, project, capsys
):
    address = offer(client, "asked")
    lineage(address, output=Path("out/chain.svg"))
    said = capsys.readouterr().out
    assert said.endswith("no link is missing\n")
    assert Path("out/chain.svg").is_file()
    shutil.rmtree(folder(address))
    with pytest.raises(SystemExit, match="1"):
        lineage(address, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "models:/asked/1"
    assert said["complete"] is False
    assert [link["name"] for link in said["links"]] == NAMES
    with pytest.raises(SystemExit, match=r"chain\.pdf: expected a name that ends in \.svg or \.png"):
        lineage(address, output=Path("chain.pdf"))
