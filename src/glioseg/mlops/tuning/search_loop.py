"""The search: a worker takes trials from the queue, runs them, and records how they end.

This module uses neither networks nor MLflow: the objective and the observer are passed to it.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from optuna import Study, TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from glioseg.core.fingerprint import sha256_bytes
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning.search_space import clip_to_space
from glioseg.mlops.tuning.study import (
    ERROR,
    Measures,
    ParamValues,
    TrialResult,
    best_trial,
    count_finished,
    database_errors,
    heartbeats,
    open_study,
    trial_result,
)
from glioseg.mlops.tuning.study_report import StudyProgress
from glioseg.mlops.tuning.trial_queue import TrialQueue, register_worker
from glioseg.params.study import Tune

MONITORED = "val_dice"
"""The metric of each epoch by which trials are pruned; its best value is the result of the trial."""

Report = Callable[[int, Mapping[str, float]], None]
Objective = Callable[[ParamValues, Report], Measures]
EstimateMeasures = Callable[[ParamValues], Measures]


class Observer(Protocol):
    """Observes a study: the search calls it as trials start, train and end."""

    def started(self, number: int, values: ParamValues) -> None:
        """A trial starts."""

    def epoch(self, number: int, epoch: int, logs: Mapping[str, float]) -> None:
        """A trial has trained for one more epoch."""

    def ended(self, number: int, result: TrialResult) -> None:
        """A trial has ended; another worker may report the same end."""

    def open_trials(self) -> Iterable[int]:
        """Trials of any worker that started but have not reported an end."""


def study_name(*, data_version: str, space: object, fixed: object) -> str:
    """A name that is the same only for the same data, space and settings.

    So a changed cohort starts a new study, and an unchanged one continues its study.

    Args:
        data_version: hash of the cohort.
        space: the search space, as JSON-like values.
        fixed: everything else that a trial's result depends on, as JSON-like values.
    """
    text = json.dumps([data_version, space, fixed], sort_keys=True, default=str)
    return f"study-{sha256_bytes(text.encode())[:10]}"


def search(
    *,
    storage: ProjectStorage,
    name: str,
    tune: Tune,
    default_values: ParamValues,
    objective: Objective,
    observer: Observer,
    estimate_measures: EstimateMeasures = lambda values: {},
) -> Study:
    """Run trials until the study has `tune.trials` finished ones; a stopped study continues.

    Finished means complete or pruned. Several processes may search at the same time, on all machines that
    reach the database; together they start no more trials than that. The trial of a worker that died is
    retried with its own values: at once on the same machine, on others after `study.GRACE_S`. A trial that
    raised an error is retried in the same way.

    Args:
        storage: its database holds the study.
        name: from `study_name`.
        tune: how many trials, the space, objectives, limits, the seed.
        default_values: the values of the first trial, which is never pruned in comparison with other trials;
            values outside the space are clipped into it.
        objective: trains with some values and returns at least `tune.objectives`; it calls the reporter
            after each epoch, counted from 0, and does not catch the reporter's exceptions.
        observer: is called as trials start, train and end.
        estimate_measures: computes measures from the values alone; if one exceeds a limit, the trial is
            pruned before it trains.

    Raises:
        StudyError: no trial was completed within the limits, or the database failed.
    """
    with database_errors(name), register_worker(storage) as worker:
        study = open_study(storage, name, tune)
        queue = TrialQueue(study, storage, tune, worker)
        queue.enqueue_default(default_values)
        progress = StudyProgress(study, tune)
        while count_finished(study) < tune.trials:
            taken = queue.take()
            _report_open_trials(study, observer)
            if taken is None:
                progress.wait()
            else:
                trial, values = taken
                is_default = values == clip_to_space(tune.space, default_values)
                running = RunningTrial(study, trial, tune, observer, is_default)
                run_trial(running, values, objective, estimate_measures)
                progress.show(trial.number)
        _report_open_trials(study, observer)
        best_trial(study)
    return study


def _report_open_trials(study: Study, observer: Observer) -> None:
    """Report the ends of trials whose workers died before they reported them."""
    numbers = sorted(observer.open_trials())
    trials = study.get_trials(deepcopy=False) if numbers else []
    for number in numbers:
        if trials[number].state.is_finished():
            observer.ended(number, trial_result(trials[number]))


@dataclass(frozen=True)
class RunningTrial:
    """A trial that this worker runs; the default is not pruned: no study must end with a worse result."""

    study: Study
    trial: Trial
    tune: Tune
    observer: Observer
    is_default: bool

    def report(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Report an epoch, and prune the trial if it is a poor one."""
        self.observer.epoch(self.trial.number, epoch, logs)
        _prune_if(not math.isfinite(logs[MONITORED]), "it diverged")
        if len(self.tune.objectives) == 1:  # Optuna prunes by one objective only
            self.trial.report(logs[MONITORED], epoch)
            _prune_if(not self.is_default and self.trial.should_prune(), "others were better by then")

    def record(self, measures: Measures) -> None:
        """Store measures with the trial, and by how much they exceed the limits."""
        for name, value in measures.items():
            self.trial.set_user_attr(name, value)
        for name, excess in self.tune.limits.excess(measures).items():
            self.trial.set_constraint(name, excess)

    def tell(self, state: TrialState, values: list[float] | None = None) -> None:
        """Report to Optuna how the trial ended, unless another worker failed it for missing heartbeats."""
        self.study.tell(self.trial, values, state=state, skip_if_finished=True)


def run_trial(
    running: RunningTrial, values: ParamValues, objective: Objective, estimate_measures: EstimateMeasures
) -> None:
    """Run a trial to its end, and report to Optuna and the observer how it ended.

    Args:
        running: the trial.
        values: of its parameters.
        objective: as for `search`.
        estimate_measures: as for `search`.
    """
    number = running.trial.number
    try:
        with heartbeats(running.trial):
            running.observer.started(number, values)
            measures = _measure(running, values, objective, estimate_measures)
        running.tell(TrialState.COMPLETE, [measures[name] for name in running.tune.objectives])
    except TrialPruned:
        running.tell(TrialState.PRUNED)
    except UpdateFinishedTrialError:
        print(f"tune: trial {number} sent no heartbeat for too long, another worker retries it", flush=True)
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            running.trial.set_user_attr(ERROR, repr(error))
        running.tell(TrialState.FAIL)
        raise
    finally:
        running.observer.ended(number, trial_result(running.study.trials[number]))


def _measure(
    running: RunningTrial, values: ParamValues, objective: Objective, estimate_measures: EstimateMeasures
) -> Measures:
    estimated = estimate_measures(values)
    running.record(estimated)
    excess = running.tune.limits.excess(estimated)
    _prune_if(any(over > 0 for over in excess.values()), "it exceeds a limit")
    measures = objective(values, running.report)
    _prune_if(not all(map(math.isfinite, measures.values())), "the result is not a number")
    running.record(measures)
    return measures


def _prune_if(poor: bool, why: str) -> None:
    if poor:
        raise TrialPruned(why)
