import multiprocessing
import time

from glioseg.mlops.tracking.storage import Lab, alone, held
from tests.helpers.waiting import LATEST_S


def test_a_lab_is_where_the_stage_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Lab.here().tracking_uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert Lab.here().study_url == f"sqlite:///{tmp_path}/mlruns/optuna.db"


def test_an_experiment_of_dvc_uses_the_lab_of_the_main_project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.chdir(tmp_path)
    assert Lab.here().root == tmp_path / "main"


def test_artifact_addresses_stand_spaces(tmp_path):
    assert Lab(tmp_path / "a b").artifacts_uri("tune") == f"file://{tmp_path}/a%20b/mlruns/artifacts/tune"


def hold(lock, held, log):
    with alone(lock):
        held.set()
        time.sleep(0.5)
        with log.open("a") as file:
            file.write("first\n")


def test_a_second_process_waits_its_turn(tmp_path, capsys):
    spawn = multiprocessing.get_context("spawn")
    lock, log, held = tmp_path / "locks" / "x", tmp_path / "log", spawn.Event()
    first = spawn.Process(target=hold, args=(lock, held, log))
    first.start()
    assert held.wait(LATEST_S)
    with alone(lock, waiting="waiting"), log.open("a") as file:
        file.write("second\n")
    first.join()
    assert log.read_text() == "first\nsecond\n"
    assert capsys.readouterr().out == "waiting\n"


def die(lock, held):
    with alone(lock):
        held.set()
        time.sleep(2 * LATEST_S)


def test_a_killed_process_leaves_no_lock(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    victim = spawn.Process(target=die, args=(tmp_path / "x", held))
    victim.start()
    assert held.wait(LATEST_S)
    victim.kill()
    victim.join()
    with alone(tmp_path / "x"):
        pass


def test_a_lock_that_was_removed_is_held_by_nobody(tmp_path):
    assert not held(tmp_path / "x")
    with alone(tmp_path / "x"):
        assert held(tmp_path / "x")
