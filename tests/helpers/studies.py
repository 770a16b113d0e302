"""A study without a network: the Dice of a trial is computed from its values."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import best_trial, search, trial_queue, trial_result
from glioseg.mlops.tuning import study as search_study
from glioseg.mlops.tuning.mlflow_trials import log_study_result, study_log
from glioseg.mlops.tuning.study import FINISHED
from glioseg.params.study import Tune
from tests.helpers.waiting import TIMEOUT_S, until

NAME = "study-of-arithmetic"
COMPLETE = TrialState.COMPLETE
EPOCHS = 3
TUNE = Tune.model_validate(
    {
        "trials": 5,
        "epochs": EPOCHS,
        "steps_per_epoch": 1,
        "seed": 3,
        "sampler": "tpe",
        "pruner": "median",
        "objectives": ["dice"],
        "limits": {"memory_gb": None, "case_s": None},
        "space": {
            "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
            "depth": {"low": 3, "high": 5},
            "base_filters": {"choices": [8]},
        },
    }
)
FIRST = {"learning_rate": 0.003, "depth": 5, "base_filters": 16, "dropout": 0.1}
CONDITIONAL = {
    "cross_entropy_weight": {"low": 0.5, "high": 2.0, "log": True, "when": {"loss": ["dice_ce"]}},
    "loss": {"choices": ["dice", "dice_ce"], "when": {"depth": [4, 5]}},
    "depth": {"low": 3, "high": 5},
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
}
CONDITIONAL_FIRST = {"learning_rate": 0.003, "depth": 5, "loss": "dice_ce", "cross_entropy_weight": 1.0}


def tune(**changes):
    """The settings of the study with some of them changed."""
    return Tune.model_validate(TUNE.model_dump() | changes)


class RecordingObserver:
    """An observer that stores how trials ended."""

    def __init__(self):
        self.results = []

    @property
    def outcomes(self):
        return [result.outcome for result in self.results]

    def started(self, number, values):
        pass

    def epoch(self, number, epoch, logs):
        pass

    def ended(self, number, result):
        self.results.append(result)

    def open_trials(self):
        return ()


def dice(values, epoch):
    """Higher for a depth near 4, and with each epoch."""
    return 0.8 - 0.2 * abs(values["depth"] - 4) - 10 * values["learning_rate"] / (epoch + 1)


def train(values, report):
    for epoch in range(EPOCHS):
        value = dice(values, epoch)
        rate = values["learning_rate"] * (EPOCHS - epoch)
        report(epoch, {"loss": 1 - value, "val_loss": 1.1 - value, "val_dice": value, "learning_rate": rate})
    return {"dice": dice(values, EPOCHS - 1)}


def settings(values):
    network = {"depth": values["depth"], "base_filters": values["base_filters"]}
    return {"network": network, "train": {"learning_rate": values["learning_rate"], "seed": 1}}


def run(storage, objective=train, tune=TUNE, name=NAME):
    """Run the study as the stage does, and return it with its parent run's identity."""
    client = connect(storage)
    facts = {"settings": {"tune": tune.model_dump(mode="json")}, "cases": {"train": 3}}
    with study_log(client, storage=storage, name=name, describe=settings, **facts) as log:
        study = search(
            storage=storage, name=name, tune=tune, default_values=FIRST, objective=objective, observer=log
        )
        folder = storage.root / "reports"
        folder.mkdir(exist_ok=True)
        best = best_trial(study)
        measures = trial_result(best).measures
        log_study_result(client, log.parent_id, folder=folder, best=measures, best_trial=best.number)
    return study, log.parent_id


def die_in_the_third_trial(values, report):
    """Report one epoch of the third trial, and kill this process."""
    die_in_the_third_trial.calls += 1
    if die_in_the_third_trial.calls == 3:
        report(0, {"val_dice": 0.9, "loss": 0.1})
        os.kill(os.getpid(), signal.SIGKILL)
    return train(values, report)


die_in_the_third_trial.calls = 0


def slowly(values, report):
    """A trial slow enough to be killed while it runs."""
    for epoch in range(EPOCHS):
        time.sleep(0.1)
        report(epoch, {"val_dice": dice(values, epoch)})
    return {"dice": dice(values, EPOCHS - 1)}


def for_ever(values, report):
    report(0, {"val_dice": dice(values, 0)})
    time.sleep(2 * TIMEOUT_S)


def until_go_on(values, report):
    report(0, {"val_dice": dice(values, 0)})
    while not Path("go on").exists():
        time.sleep(0.05)
    return train(values, lambda epoch, logs: report(epoch + 1, logs))


def die_with_the_default(values, report):
    if values["learning_rate"] == FIRST["learning_rate"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(values, report)


def work(storage, name, trials, objective=slowly, host=None):
    """Run a worker in its own process: on this machine, or as if on another host."""
    os.chdir(storage.root)
    with (storage.root / f"{os.getpid()}.log").open("w") as log, redirect_stdout(log):
        if host:
            trial_queue.gethostname = lambda: host
            search_study.HEARTBEAT_S, search_study.GRACE_S = 1, 3
        run(storage, objective, TUNE.model_copy(update={"trials": trials}), name)


@cache
def _forks():
    """Starts processes with this module loaded already, since its imports take seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["studies"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class Watch:
    """Starts workers on a study, and follows the study."""

    storage: ProjectStorage
    name: str
    optuna_storage: optuna.storages.RDBStorage
    started: list = field(default_factory=list)

    @classmethod
    @contextmanager
    def on(cls, storage, name):
        """Watch a study until the block ends; then kill workers that still run."""
        connect(storage)
        optuna_storage = optuna.storages.RDBStorage(storage.study_url)  # before a worker creates its tables
        watch = cls(storage, name, optuna_storage)
        try:
            yield watch
        finally:
            for process in watch.started:
                process.kill()
                process.join()

    def start(self, **given):
        process = _forks().Process(target=work, args=(self.storage, self.name), kwargs=given)
        process.start()
        self.started.append(process)
        return process

    def join(self, *processes):
        for process in processes:
            process.join(TIMEOUT_S)
            assert process.exitcode == 0, self.output(process)

    def output(self, process):
        log = self.storage.root / f"{process.pid}.log"
        return log.read_text() if log.exists() else ""

    def wait_for(self, happened):
        until(happened, "what this test waits for")

    def study(self):
        return optuna.load_study(study_name=self.name, storage=self.optuna_storage)

    def trials(self, *states):
        """Trials in these states; none before the study exists."""
        try:
            return self.study().get_trials(states=states)
        except KeyError:
            return []

    def training_trials(self):
        """Trials that have reported an epoch; MLflow may have no run of an earlier one."""
        return [trial for trial in self.trials(TrialState.RUNNING) if trial.intermediate_values]

    def runs(self):
        """The study's own run, and the runs of its trials by number."""
        client = connect(self.storage)
        every = client.search_runs([experiment_id(client, "tune")])
        (parent,) = [run for run in every if run.data.tags.get("study") == self.name]
        mine = [run for run in every if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        return parent, {int(run.data.tags["trial"]): run for run in mine}

    def check(self, trials):
        """Check that the study has exactly these trials, each with a run that shows how it ended."""
        study = self.study()
        states = Counter(trial.state for trial in study.trials)
        assert sum(states[state] for state in FINISHED) == trials
        assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
        for trial in study.trials:
            for number in trial.user_attrs.get(trial_queue.RETRY_OF, ()):
                assert study.trials[number].state == TrialState.FAIL
                # A trial that was killed while its values were sampled has only some of them.
                assert study.trials[number].params.items() <= trial.params.items()
        parent, runs = self.runs()
        assert parent.info.status == "FINISHED"
        words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "interrupted"}
        # A trial that was killed before MLflow created its run has none.
        assert {trial.number for trial in study.trials if trial.state in FINISHED} <= runs.keys()
        for number, run in runs.items():
            trial = study.trials[number]
            assert run.data.tags["state"] == words[trial.state.name]
            assert run.info.status == ("FINISHED" if trial.state == COMPLETE else "KILLED")
            assert trial.state != COMPLETE or run.data.metrics["best_val_dice"] == trial.value
        return study


if __name__ == "__main__":
    run(ProjectStorage(Path(sys.argv[1])), die_in_the_third_trial)
