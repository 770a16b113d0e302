"""`glioseg tune-worker --cluster`: a tune worker beside each worker of a real Dask cluster."""

import os
import shutil
import signal
import sys

import pytest
from optuna.trial import TrialState

from tests.helpers import studies
from tests.helpers.clusters import running, scheduler, two_workers
from tests.helpers.projects import ROOT
from tests.helpers.study_command import TRIALS
from tests.helpers.waiting import TIMEOUT_S

COMMAND = [sys.executable, "-m", "tests.helpers.study_command", "tune-worker", "--cluster"]


@pytest.fixture
def watch(shared_storage, request):
    with studies.Watch.on(shared_storage, f"study of {request.node.name}") as watch:
        yield watch


@pytest.fixture
def cluster(watch, tmp_path):
    """The address of a scheduler, and two workers for the study of this test."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    settings = {"DVC_ROOT": str(watch.storage.root), "STUDY": watch.name, "MLFLOW_DISABLE_TELEMETRY": "true"}
    words = ["--no-nanny"]
    with (
        scheduler(tmp_path, settings=settings) as address,
        two_workers(address, tmp_path, words=words, settings=settings) as workers,
    ):
        yield address, workers


def until_both_run_trials(watch, client, log):
    watch.wait_for(lambda: client.poll() is not None or len(watch.training_trials()) == 2)
    assert client.poll() is None, log.read_text()


def test_the_trial_of_a_killed_worker_is_taken_over_and_the_study_ends(watch, cluster, tmp_path):
    address, workers = cluster
    with running([*COMMAND, address], log := tmp_path / "client.log", {}) as client:
        until_both_run_trials(watch, client, log)
        os.kill(workers[0].pid, signal.SIGKILL)  # the process beside it notices, and stops
        watch.wait_for(lambda: watch.trials(TrialState.FAIL))
        (tmp_path / "go on").touch()
        assert client.wait(TIMEOUT_S) == 0, log.read_text()
    assert log.read_text().splitlines()[-1] == "tune-worker: the study is finished, workers: 2"
    study = watch.check(trials=TRIALS)
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) == 1


def test_ctrl_c_stops_all_workers(watch, cluster, tmp_path):
    address, _ = cluster
    with running([*COMMAND, address], log := tmp_path / "client.log", {}) as client:
        until_both_run_trials(watch, client, log)
        client.send_signal(signal.SIGINT)
        assert client.wait(TIMEOUT_S) == 130
        watch.wait_for(lambda: len(watch.trials(TrialState.FAIL)) == 2)
    last = "glioseg tune-worker: stopped; another worker, or this one started again, goes on"
    assert log.read_text().splitlines()[-1] == last
