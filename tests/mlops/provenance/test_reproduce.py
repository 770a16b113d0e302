"""A registered version's evaluation done again: in a stand-in project, and in a real one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from glioseg.mlops.provenance.collectors import RECORD
from glioseg.mlops.provenance.dvc_data import DataError
from glioseg.mlops.provenance.git_worktree import PLACE, CheckoutError
from glioseg.mlops.provenance.record import OLDER, LineageError, open_version
from glioseg.mlops.provenance.recorder import folder_of
from glioseg.mlops.provenance.reproduce import reasons_to_differ, reproduce
from glioseg.mlops.tracking.fingerprints import git
from glioseg.mlops.tracking.mlflow_runs import EXPERIMENTS, connect, experiment_id
from tests.helpers.projects import ROOT, command, commit, succeed
from tests.helpers.stand_in import offer
from tests.helpers.waiting import LATEST_S

LIBRARY = Path("src/glioseg_stand_in/__init__.py")
EXACTLY = "the metrics agree exactly"


@pytest.fixture
def client(common_lab):
    return connect(common_lab)


def do(client, address, project, *, retrain=False):
    return reproduce(client, address, root=project, retrain=retrain)


def nothing_left(project):
    """No work tree, in git's notes or on the disk."""
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not list((project / PLACE).glob("*"))


def runs(client):
    return {
        run.info.run_id for name in EXPERIMENTS for run in client.search_runs([experiment_id(client, name)])
    }


def top_of(address):
    return Path(mlflow.artifacts.download_artifacts(address))


def test_the_same_numbers_come_out_and_nothing_of_the_project_is_touched(client, project, capfd):
    address, before = offer(client, "again"), git(project, "status", "--porcelain")
    known = runs(client)
    for file in ("reports/per_case.csv", "data/splits.json"):
        (project / file).unlink()  # what lies here does not matter
    found = do(client, address, project)
    assert (found.agrees, found.line) == (True, EXACTLY)
    assert runs(client) == known
    nothing_left(project)
    assert not (project / "reports/per_case.csv").exists()
    assert git(project, "status", "--porcelain") == before
    assert "WT        0.7500    0.7500                     0" in capfd.readouterr().out


def test_training_again_gives_the_same_weights(client, project, capfd):
    assert do(client, offer(client, "retrained"), project, retrain=True).line == EXACTLY
    assert "the weights are the same bytes" in capfd.readouterr().out


def test_a_tree_that_differed_from_its_commit_is_made_again(client, project):
    LIBRARY.write_text("OFFSET = 0.05\n")
    succeed(project, "dvc", "repro")
    address = offer(client, "dirty")
    commit(project, "Later")  # what is here now is another commit
    LIBRARY.write_text("OFFSET = 1.0\n")
    assert do(client, address, project).line == EXACTLY
    assert (top_of(address) / folder_of(address[8:-9], "1") / "source.patch").read_text().count("OFFSET") == 2


def test_other_numbers_are_found_out(client, project):
    """A table that says another Dice: on the machine that made it no rounding is an excuse."""
    table = Path("reports/per_case.csv")
    text = table.read_text().replace("0.75", "0.7501", 1)
    table.unlink()
    table.write_text(text)
    found = do(client, offer(client, "boasting"), project)
    assert (found.agrees, found.line) == (False, "the metrics differ: dice_wt of c: 0.7501 then, 0.75 now")


def test_only_another_machine_or_environment_excuses_a_rounding(client, project, monkeypatch):
    kept = open_version(client, offer(client, "moved"))
    assert reasons_to_differ(kept, project) == []
    with monkeypatch.context() as patch:
        patch.setattr("glioseg.mlops.provenance.reproduce.machine", lambda: "an abacus, GPU of beads")
        there, card = reasons_to_differ(kept, project)
    assert there.endswith(" then, an abacus, GPU of beads now")
    assert card == "a graphics card adds up in no fixed order"
    Path("requirements.lock").write_text("other")
    (lock,) = reasons_to_differ(kept, project)
    assert lock.startswith("another requirements.lock: ")


def test_a_machine_that_is_not_known_is_not_taken_for_this_one(client, project, monkeypatch):
    monkeypatch.setattr("stand_in.log_evaluation", lambda **given: None)
    Path("reports/calibrate/model.json").unlink()
    Path("reports/calibrate/model.json").write_text('{"run_id": "elsewhere", "model_id": "m"}')
    kept = open_version(client, offer(client, "no-run"))
    (why,) = reasons_to_differ(kept, project)
    assert why.startswith("the machine of the first evaluation is not known: no evaluation in this database")


def test_a_model_that_was_changed_is_found_out(client, project):
    Path("models/calibrated/model.keras").unlink()
    Path("models/calibrated/model.keras").write_text("a model of its own")
    address = offer(client, "swapped")
    (top_of(address) / "artifacts" / "model.keras").write_text("another")
    with pytest.raises(LineageError, match=r"swapped/1: its files are not those that were registered"):
        do(client, address, project)


def test_a_kept_table_that_was_changed_is_found_out(client, project):
    address = offer(client, "tampered")
    table = top_of(address) / folder_of(address[8:-9], "1") / "per_case.csv"
    table.write_text(table.read_text().replace("0.75", "0.95"))
    with pytest.raises(LineageError, match=r"changed after it was registered: per_case\.csv$"):
        do(client, address, project)
    (top_of(address) / folder_of(address[8:-9], "1") / RECORD).write_text("{}")
    with pytest.raises(LineageError, match=r"changed after it was registered: lineage\.json$"):
        do(client, address, project)


def test_code_that_is_not_what_ran_is_found_out(client, project):
    LIBRARY.write_text("OFFSET = 0.05\n")
    succeed(project, "dvc", "repro")
    git(project, "checkout", "--", "src")
    address = offer(client, "mixed")
    with pytest.raises(LineageError, match=r"is not what ran: other content in src/glioseg_stand_in$"):
        do(client, address, project)
    nothing_left(project)


def test_a_commit_that_is_not_here_is_an_error(client, project):
    address = offer(client, "no-commit")
    shutil.rmtree(".git")
    succeed(project, "git", "init", "-q")
    with pytest.raises(CheckoutError, match=r"^commit [0-9a-f]{40} is not in this repository"):
        do(client, address, project)


def test_an_older_version_is_an_error(client, project):
    Path("models/calibrated/settings.json").unlink()
    Path("models/calibrated/settings.json").write_text('{"older": true}')
    address = offer(client, "older-still", keep=lambda client, name, version: None)
    with pytest.raises(LineageError, match=OLDER):
        do(client, address, project)


def test_data_come_from_the_remote_and_where_that_has_none_they_are_named(client, project):
    address = offer(client, "far")
    succeed(project, "dvc", "remote", "add", "--default", "store", "../store")
    succeed(project, "dvc", "push", "data/raw")
    shutil.rmtree(".dvc/cache")
    assert do(client, address, project).line == EXACTLY
    for folder in (".dvc/cache", "../store"):
        shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"^data/raw: neither in DVC's cache nor in a remote: "):
        do(client, address, project)
    nothing_left(project)


STOPPED = """
import sys
from pathlib import Path
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.provenance.reproduce import reproduce
from glioseg.mlops.tracking.mlflow_runs import connect
reproduce(connect(Lab(Path(sys.argv[1]))), sys.argv[2], root=Path(), retrain=False)
"""


def test_ctrl_c_leaves_nothing(client, project, common_root):
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, common_root, offer(client, "stopped")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "STAND_STILL_S": str(2 * LATEST_S)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "reproduce: evaluate\n" in iter(process.stdout.readline, "")
    assert list((project / PLACE).glob("*"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that run there
    process.communicate(timeout=LATEST_S)
    assert process.returncode != 0
    nothing_left(project)


def test_the_model_that_dvc_repro_just_registered_is_whole_and_agrees_exactly(reproduced):
    chain = command(reproduced, "glioseg", "lineage", "models:/glioseg/1", "--json")
    assert chain.returncode == 0, chain.stdout + chain.stderr
    assert json.loads(chain.stdout)["complete"] is True
    database = (reproduced / "mlruns" / "mlflow.db").read_bytes()
    again = command(reproduced, "glioseg", "reproduce", "models:/glioseg/1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith(f"{EXACTLY}\n")
    assert (reproduced / "mlruns" / "mlflow.db").read_bytes() == database
    nothing_left(reproduced)
