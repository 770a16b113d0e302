"""A study without a network: what a trial reaches is arithmetic."""

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
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning import best_trial, ending, search, trial_queue
from glioseg.mlops.tuning import study as search_study
from glioseg.mlops.tuning.mlflow_trials import log_study, study_log
from glioseg.mlops.tuning.study import FINISHED
from glioseg.params.study import Tune
from tests.helpers.waiting import LATEST_S, until

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


class Silent:
    """An observer that keeps how trials ended."""

    def __init__(self):
        self.endings = []

    @property
    def outcomes(self):
        return [ending.outcome for ending in self.endings]

    def started(self, number, values):
        pass

    def epoch(self, number, epoch, logs):
        pass

    def ended(self, number, ending):
        self.endings.append(ending)

    def unended(self):
        return ()


def dice(values, epoch):
    """Better the nearer depth is to 4, and with each epoch."""
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


def run(lab, objective=train, tune=TUNE, name=NAME):
    """Run the study as the stage does, and return it with its parent run's identity."""
    client = connect(lab)
    facts = {"settings": {"tune": tune.model_dump(mode="json")}, "cases": {"train": 3}}
    with study_log(client, lab=lab, name=name, describe=settings, **facts) as log:
        study = search(lab=lab, name=name, tune=tune, first=FIRST, objective=objective, observer=log)
        folder = lab.root / "reports"
        folder.mkdir(exist_ok=True)
        best = best_trial(study)
        measures = ending(best).measures
        log_study(client, log.parent_id, folder=folder, best=measures, best_trial=best.number)
    return study, log.parent_id


def die_in_the_third_trial(values, report):
    """Report one epoch, and die."""
    die_in_the_third_trial.calls += 1
    if die_in_the_third_trial.calls == 3:
        report(0, {"val_dice": 0.9, "loss": 0.1})
        os.kill(os.getpid(), signal.SIGKILL)
    return train(values, report)


die_in_the_third_trial.calls = 0


def slowly(values, report):
    """A trial that leaves time to be killed in."""
    for epoch in range(EPOCHS):
        time.sleep(0.1)
        report(epoch, {"val_dice": dice(values, epoch)})
    return {"dice": dice(values, EPOCHS - 1)}


def for_ever(values, report):
    report(0, {"val_dice": dice(values, 0)})
    time.sleep(2 * LATEST_S)


def until_told(values, report):
    report(0, {"val_dice": dice(values, 0)})
    while not Path("go on").exists():
        time.sleep(0.05)
    return train(values, lambda epoch, logs: report(epoch + 1, logs))


def die_with_the_default(values, report):
    if values["learning_rate"] == FIRST["learning_rate"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(values, report)


def work(lab, name, trials, objective=slowly, host=None):
    """Be a worker, in a process of its own: on this machine, or as if on another."""
    os.chdir(lab.root)
    with (lab.root / f"{os.getpid()}.log").open("w") as log, redirect_stdout(log):
        if host:
            trial_queue.gethostname = lambda: host
            search_study.HEARTBEAT_S, search_study.GRACE_S = 1, 3
        run(lab, objective, TUNE.model_copy(update={"trials": trials}), name)


@cache
def _forks():
    """Makes processes that have this module already, whose imports take seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["studies"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class Watch:
    """Starts workers on a study, and sees what becomes of it."""

    lab: Lab
    name: str
    storage: optuna.storages.RDBStorage
    started: list = field(default_factory=list)

    @classmethod
    @contextmanager
    def on(cls, lab, name):
        """Watch a study; workers that still live at the end are killed."""
        connect(lab)
        storage = optuna.storages.RDBStorage(lab.study_url)  # before a worker creates its tables
        watch = cls(lab, name, storage)
        try:
            yield watch
        finally:
            for process in watch.started:
                process.kill()
                process.join()

    def start(self, **given):
        process = _forks().Process(target=work, args=(self.lab, self.name), kwargs=given)
        process.start()
        self.started.append(process)
        return process

    def join(self, *processes):
        for process in processes:
            process.join(LATEST_S)
            assert process.exitcode == 0, self.said(process)

    def said(self, process):
        log = self.lab.root / f"{process.pid}.log"
        return log.read_text() if log.exists() else ""

    def wait_for(self, happened):
        until(happened, "what this test waits for")

    def study(self):
        return optuna.load_study(study_name=self.name, storage=self.storage)

    def trials(self, *states):
        """Trials in these states; none where there is no study yet."""
        try:
            return self.study().get_trials(states=states)
        except KeyError:
            return []

    def at_work(self):
        """Trials that have begun. One that was only handed out ends with its worker, and nobody is told."""
        return [trial for trial in self.trials(TrialState.RUNNING) if trial.intermediate_values]

    def runs(self):
        """The study's own run, and those of its trials by their number."""
        client = connect(self.lab)
        every = client.search_runs([experiment_id(client, "tune")])
        (parent,) = [run for run in every if run.data.tags.get("study") == self.name]
        mine = [run for run in every if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        return parent, {int(run.data.tags["trial"]): run for run in mine}

    def check(self, asked):
        """Exactly the trials that were asked for, and each with a run that says how it went."""
        study = self.study()
        states = Counter(trial.state for trial in study.trials)
        assert sum(states[state] for state in FINISHED) == asked
        assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
        for trial in study.trials:
            for number in trial.user_attrs.get(trial_queue.RETRY_OF, ()):
                assert study.trials[number].state == TrialState.FAIL
                # Killed while it drew, the first has only some of them.
                assert study.trials[number].params.items() <= trial.params.items()
        parent, runs = self.runs()
        assert parent.info.status == "FINISHED"
        words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "interrupted"}
        # One that was killed before MLflow heard of it has no run.
        assert {trial.number for trial in study.trials if trial.state in FINISHED} <= runs.keys()
        for number, run in runs.items():
            trial = study.trials[number]
            assert run.data.tags["state"] == words[trial.state.name]
            assert run.info.status == ("FINISHED" if trial.state == COMPLETE else "KILLED")
            assert trial.state != COMPLETE or run.data.metrics["best_val_dice"] == trial.value
        return study


if __name__ == "__main__":
    run(Lab(Path(sys.argv[1])), die_in_the_third_trial)
