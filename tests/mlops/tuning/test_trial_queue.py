"""Several workers on one study: real processes, on a real database, killed with SIGKILL."""

import os
import random
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from glioseg.mlops.tuning.study import FINISHED
from glioseg.mlops.tuning.trial_queue import RETRY_OF, TrialQueue, register_worker
from tests.helpers import studies
from tests.helpers.waiting import TIMEOUT_S


@pytest.fixture
def watch(shared_storage, request):
    """The study of this test."""
    with studies.Watch.on(shared_storage, f"study of {request.node.name}") as watch:
        yield watch


def test_three_workers_run_no_more_trials_than_asked(watch):
    watch.join(*[watch.start(trials=5) for _ in range(3)])
    study = watch.check(trials=5)
    assert len(study.trials) == 5
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 5
    assert study.trials[0].params == {"learning_rate": 0.003, "depth": 5, "base_filters": 8}


def test_kill_9_at_random_moments_loses_no_finished_trial(watch):
    """One of two workers is killed, three times; then both at once."""
    rng, trials, finished = random.Random(8), 8, {}
    workers = [watch.start(trials=trials), watch.start(trials=trials)]
    for victims in (1, 1, 1, 2):
        watch.wait_for(lambda: watch.trials(TrialState.RUNNING))
        time.sleep(rng.uniform(0.0, 0.5))
        for _ in range(victims):
            workers.pop(rng.randrange(len(workers))).kill()
        seen = {trial.number: trial.values for trial in watch.trials(*FINISHED)}
        assert finished.items() <= seen.items()
        finished = seen
        workers += [watch.start(trials=trials) for _ in range(victims)]
    watch.join(*workers)
    study = watch.check(trials=trials)
    assert finished.items() <= {trial.number: trial.values for trial in study.trials}.items()
    assert any(trial.state == TrialState.FAIL for trial in study.trials)


def test_a_trial_killed_with_kill_9_is_retried_and_no_other_is_lost(shared_storage):
    victim = subprocess.run(
        [sys.executable, "-m", "tests.helpers.studies", str(shared_storage.root)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert victim.returncode == -9, victim.stderr
    with studies.Watch.on(shared_storage, studies.NAME) as watch:
        begun, before = watch.runs()
        assert before[2].info.status == "RUNNING"
        study, parent_id = studies.run(shared_storage)
        assert watch.check(trials=studies.TUNE.trials).trials == study.trials
        parent, runs = watch.runs()
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) == 1
    assert study.trials[3].params == study.trials[2].params
    assert parent_id == parent.info.run_id == begun.info.run_id
    assert parent.data.metrics["best_val_dice"] == study.best_value
    assert runs.keys() == {0, 1, 2, 3, 4, 5}
    assert runs[2].info.run_name == "trial 2 (interrupted)"


def test_a_worker_waits_for_another_s_trial_and_retries_it_if_that_worker_dies(watch):
    first = watch.start(trials=1, objective=studies.for_ever)
    watch.wait_for(watch.training_trials)
    second = watch.start(trials=1)
    watch.wait_for(lambda: "waiting" in watch.output(second))
    first.kill()
    watch.join(second)
    study = watch.check(trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert watch.output(second).count("waiting for trials that other workers run") == 1
    _, runs = watch.runs()
    assert runs[0].info.run_name == "trial 0 (interrupted)"


def test_a_trial_is_given_up_after_three_retries(watch):
    """A trial that kills its process each time must not keep a study from finishing."""
    for _ in range(4):
        worker = watch.start(trials=2, objective=studies.die_with_the_default)
        worker.join(TIMEOUT_S)
        assert worker.exitcode == -9
    lost = watch.trials(TrialState.FAIL, TrialState.RUNNING)
    assert [trial.params for trial in lost] == [lost[0].params] * 4


def test_a_worker_that_finishes_while_others_check_it_does_not_count_as_dead(storage, monkeypatch):
    study = optuna.create_study()
    with register_worker(storage) as worker:
        queue = TrialQueue(study, storage, studies.TUNE, worker)
        trial, _ = queue.take()

    def leave(queue, running):
        study.tell(running.number, 0.5)
        return True

    monkeypatch.setattr(TrialQueue, "_is_worker_dead", leave)
    queue.take()
    assert study.trials[trial.number].state == TrialState.COMPLETE
    assert not any(RETRY_OF in trial.user_attrs for trial in study.trials)
