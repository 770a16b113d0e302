"""Many workers on one study: real processes, on a real database, killed as the kernel kills."""

import random
import time

import pytest
from optuna.trial import TrialState

from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tuning.study import FINISHED
from tests.helpers import studies
from tests.helpers.waiting import LATEST_S


@pytest.fixture
def watch(common_lab, request):
    """The study of this test."""
    with studies.Watch.on(common_lab, f"study of {request.node.name}") as watch:
        yield watch


def test_three_workers_run_no_more_trials_than_asked(watch):
    watch.join(*[watch.start(trials=5) for _ in range(3)])
    study = watch.check(asked=5)
    assert len(study.trials) == 5
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 5
    assert study.trials[0].params == {"learning_rate": 0.003, "depth": 5, "base_filters": 8}


def test_kill_9_at_random_moments_loses_no_finished_trial(watch):
    """Three times one of two workers is killed, and then both at once."""
    rng, asked, finished = random.Random(8), 8, {}
    workers = [watch.start(trials=asked), watch.start(trials=asked)]
    for victims in (1, 1, 1, 2):
        watch.wait_for(lambda: watch.trials(TrialState.RUNNING))
        time.sleep(rng.uniform(0.0, 0.5))
        for _ in range(victims):
            workers.pop(rng.randrange(len(workers))).kill()
        seen = {trial.number: trial.values for trial in watch.trials(*FINISHED)}
        assert finished.items() <= seen.items()
        finished = seen
        workers += [watch.start(trials=asked) for _ in range(victims)]
    watch.join(*workers)
    study = watch.check(asked=asked)
    assert finished.items() <= {trial.number: trial.values for trial in study.trials}.items()
    assert any(trial.state == TrialState.FAIL for trial in study.trials)


def test_a_worker_waits_for_another_s_trial_and_runs_it_again_if_that_one_dies(watch):
    first = watch.start(trials=1, objective=studies.for_ever)
    watch.wait_for(watch.at_work)
    second = watch.start(trials=1)
    watch.wait_for(lambda: "waiting" in watch.said(second))
    first.kill()
    watch.join(second)
    study = watch.check(asked=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert watch.said(second).count("waiting for trials that other workers run") == 1
    _, runs = watch.runs()
    assert runs[0].info.run_name == "trial 0 (interrupted)"


def test_a_run_that_kill_9_left_open_is_closed_with_its_value(watch):
    """As it is left between Optuna's database, which knows the end, and MLflow's."""
    watch.join(watch.start(trials=2))
    client, (_, runs) = connect(watch.lab), watch.runs()
    client.update_run(runs[0].info.run_id, status="RUNNING")
    client.set_tag(runs[0].info.run_id, "state", "running")
    client.log_metric(runs[0].info.run_id, "best_val_dice", 0.0)
    watch.join(watch.start(trials=2))
    watch.check(asked=2)


def test_a_retry_that_dies_too_is_given_up_after_three(watch):
    """What kills its process each time must not keep a study from its end."""
    for _ in range(4):
        worker = watch.start(trials=2, objective=studies.die_with_the_default)
        worker.join(LATEST_S)
        assert worker.exitcode == -9
    lost = watch.trials(TrialState.FAIL, TrialState.RUNNING)
    assert [trial.params for trial in lost] == [lost[0].params] * 4
