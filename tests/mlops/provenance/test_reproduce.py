"""Reproducing a registered version: in a stand-in project, and in a real one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from glioseg.mlops.provenance.record import OLDER, RECORD, LineageError, lineage_folder, open_version
from glioseg.mlops.provenance.reproduce import reasons_to_differ, reproduce
from glioseg.mlops.provenance.work_tree import WORK_TREES, CheckoutError, DataError
from glioseg.mlops.tracking.git_dvc import git_output
from glioseg.mlops.tracking.mlflow_runs import EXPERIMENTS, connect, experiment_id
from tests.helpers.projects import ROOT, command, commit, succeed
from tests.helpers.stand_in import register_project
from tests.helpers.waiting import TIMEOUT_S

LIBRARY = Path("src/glioseg_stand_in/__init__.py")
EXACTLY = "the metrics agree exactly"


@pytest.fixture
def client(shared_storage):
    return connect(shared_storage)


def run_reproduce(client, address, project, *, retrain=False):
    return reproduce(client, address, root=project, retrain=retrain)


def require_no_work_tree(project):
    """Neither git nor the disk has a work tree of the version."""
    assert len(git_output(project, "worktree", "list").splitlines()) == 1
    assert not list((project / WORK_TREES).glob("*"))


def runs(client):
    return {
        run.info.run_id for name in EXPERIMENTS for run in client.search_runs([experiment_id(client, name)])
    }


def artifacts_of(address):
    return Path(mlflow.artifacts.download_artifacts(address))


def test_the_numbers_are_equal_and_the_project_does_not_change(client, project, capfd):
    address, before = register_project(client, "again"), git_output(project, "status", "--porcelain")
    known = runs(client)
    for file in ("reports/per_case.csv", "data/splits.json"):
        (project / file).unlink()  # the project's present files do not matter
    found = run_reproduce(client, address, project)
    assert (found.agrees, found.message) == (True, EXACTLY)
    assert runs(client) == known
    require_no_work_tree(project)
    assert not (project / "reports/per_case.csv").exists()
    assert git_output(project, "status", "--porcelain") == before
    assert "WT        0.7500    0.7500                     0" in capfd.readouterr().out


def test_a_new_training_gives_the_same_weights(client, project, capfd):
    assert (
        run_reproduce(client, register_project(client, "retrained"), project, retrain=True).message == EXACTLY
    )
    assert "the weights are the same bytes" in capfd.readouterr().out


def test_uncommitted_changes_are_restored(client, project):
    LIBRARY.write_text("OFFSET = 0.05\n")
    succeed(project, "dvc", "repro")
    address = register_project(client, "dirty")
    commit(project, "Later")  # the project is at another commit now
    LIBRARY.write_text("OFFSET = 1.0\n")
    assert run_reproduce(client, address, project).message == EXACTLY
    assert (artifacts_of(address) / lineage_folder(address[8:-9], "1") / "source.patch").read_text().count(
        "OFFSET"
    ) == 2


def test_different_numbers_are_reported(client, project):
    """The recorded table has another Dice, which rounding does not explain on the same machine."""
    table = Path("reports/per_case.csv")
    text = table.read_text().replace("0.75", "0.7501", 1)
    table.unlink()
    table.write_text(text)
    found = run_reproduce(client, register_project(client, "other-table"), project)
    assert (found.agrees, found.message) == (False, "the metrics differ: dice_wt of c: 0.7501 then, 0.75 now")


def test_only_another_machine_or_environment_explains_rounding(client, project, monkeypatch):
    recorded = open_version(client, register_project(client, "moved"))
    assert reasons_to_differ(recorded, project) == []
    with monkeypatch.context() as patch:
        patch.setattr(
            "glioseg.mlops.provenance.reproduce.describe_machine", lambda: "an abacus, GPU of beads"
        )
        there, gpu = reasons_to_differ(recorded, project)
    assert there.endswith(" then, an abacus, GPU of beads now")
    assert gpu == "a GPU adds numbers in no fixed order"
    Path("requirements.lock").write_text("other")
    (lock,) = reasons_to_differ(recorded, project)
    assert lock.startswith("another requirements.lock: ")


def test_an_unknown_machine_counts_as_another_one(client, project, monkeypatch):
    monkeypatch.setattr("tests.helpers.stand_in.log_evaluation", lambda **given: None)
    Path("reports/calibrate/model.json").unlink()
    Path("reports/calibrate/model.json").write_text('{"run_id": "elsewhere", "model_id": "m"}')
    recorded = open_version(client, register_project(client, "no-run"))
    (why,) = reasons_to_differ(recorded, project)
    assert why.startswith("the machine of the first evaluation is unknown: no evaluation in this database")


def test_a_changed_model_is_an_error(client, project):
    Path("models/calibrated/model.keras").unlink()
    Path("models/calibrated/model.keras").write_text("a model of its own")
    address = register_project(client, "swapped")
    (artifacts_of(address) / "artifacts" / "model.keras").write_text("another")
    with pytest.raises(LineageError, match=r"swapped/1: its files are not those that were registered"):
        run_reproduce(client, address, project)


def test_a_changed_recorded_table_is_an_error(client, project):
    address = register_project(client, "tampered")
    table = artifacts_of(address) / lineage_folder(address[8:-9], "1") / "per_case.csv"
    table.write_text(table.read_text().replace("0.75", "0.95"))
    with pytest.raises(LineageError, match=r"changed after it was registered: per_case\.csv$"):
        run_reproduce(client, address, project)
    (artifacts_of(address) / lineage_folder(address[8:-9], "1") / RECORD).write_text("{}")
    with pytest.raises(LineageError, match=r"changed after it was registered: lineage\.json$"):
        run_reproduce(client, address, project)


def test_code_that_differs_from_what_ran_is_an_error(client, project):
    LIBRARY.write_text("OFFSET = 0.05\n")
    succeed(project, "dvc", "repro")
    git_output(project, "checkout", "--", "src")
    address = register_project(client, "mixed")
    with pytest.raises(LineageError, match=r"is not what ran: other content in src/glioseg_stand_in$"):
        run_reproduce(client, address, project)
    require_no_work_tree(project)


def test_a_commit_that_the_clone_lacks_is_an_error(client, project):
    address = register_project(client, "no-commit")
    shutil.rmtree(".git")
    succeed(project, "git", "init", "-q")
    with pytest.raises(CheckoutError, match=r"^commit [0-9a-f]{40} is not in this repository"):
        run_reproduce(client, address, project)


def test_a_version_without_a_record_is_an_error(client, project):
    Path("models/calibrated/settings.json").unlink()
    Path("models/calibrated/settings.json").write_text('{"older": true}')
    address = register_project(client, "older-still", recorder=lambda client, name, version: None)
    with pytest.raises(LineageError, match=OLDER):
        run_reproduce(client, address, project)


def test_data_come_from_the_remote_and_missing_data_are_an_error(client, project):
    address = register_project(client, "from-remote")
    succeed(project, "dvc", "remote", "add", "--default", "store", "../store")
    succeed(project, "dvc", "push", "data/raw")
    shutil.rmtree(".dvc/cache")
    assert run_reproduce(client, address, project).message == EXACTLY
    for folder in (".dvc/cache", "../store"):
        shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"^data/raw: neither in DVC's cache nor in a remote: "):
        run_reproduce(client, address, project)
    require_no_work_tree(project)


STOPPED = """
import sys
from pathlib import Path
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.provenance.reproduce import reproduce
from glioseg.mlops.tracking.mlflow_runs import connect
reproduce(connect(ProjectStorage(Path(sys.argv[1]))), sys.argv[2], root=Path(), retrain=False)
"""


def test_ctrl_c_leaves_no_work_tree(client, project, common_root):
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, common_root, register_project(client, "stopped")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "STAND_STILL_S": str(2 * TIMEOUT_S)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "reproduce: evaluate\n" in iter(process.stdout.readline, "")
    assert list((project / WORK_TREES).glob("*"))
    os.killpg(process.pid, signal.SIGINT)  # like a terminal, to the whole process group
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode != 0
    require_no_work_tree(project)


def test_a_new_version_of_a_real_project_has_a_complete_lineage_and_agrees_exactly(reproduced):
    lineage = command(reproduced, "glioseg", "lineage", "models:/glioseg/1", "--json")
    assert lineage.returncode == 0, lineage.stdout + lineage.stderr
    assert json.loads(lineage.stdout)["complete"] is True
    database = (reproduced / "mlruns" / "mlflow.db").read_bytes()
    again = command(reproduced, "glioseg", "reproduce", "models:/glioseg/1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith(f"{EXACTLY}\n")
    assert (reproduced / "mlruns" / "mlflow.db").read_bytes() == database
    require_no_work_tree(reproduced)
