"""The tuning study: the one room that knows Optuna. It knows neither networks nor MLflow."""

import json

from optuna import Study

from glioseg.mlops.tracking.fingerprints import sha256
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning.progress import Progress
from glioseg.mlops.tuning.search_space import clip, default
from glioseg.mlops.tuning.study import best_trial, database_errors, ending, finished, open_study
from glioseg.mlops.tuning.study_report import study_figures, study_page, write_study
from glioseg.mlops.tuning.study_store import all_studies, forget_study, kept_studies
from glioseg.mlops.tuning.trial_queue import Queue, on_duty
from glioseg.mlops.tuning.trial_run import Running, run
from glioseg.mlops.tuning.types import (
    WATCHED,
    Ending,
    Foresee,
    Measures,
    Objective,
    Observer,
    Report,
    SearchError,
    Value,
    Values,
)
from glioseg.params.study import Tune

__all__ = [
    "WATCHED", "Ending", "Foresee", "Measures", "Objective", "Observer", "Report", "SearchError",
    "Study", "Value", "Values", "all_studies", "best_trial", "clip", "ending", "forget_study",
    "kept_studies", "search", "study_figures", "study_name", "study_page", "write_study",
]  # fmt: skip


def study_name(*, data_version: str, space: object, fixed: object) -> str:
    """A name that is the same only for the same data, space and settings.

    A changed cohort so starts a new study, and an unchanged one goes on with its own.

    Args:
        data_version: hash of the cohort.
        space: what trials may change, as JSON-like values.
        fixed: everything else that a trial's result depends on, as JSON-like values.
    """
    text = json.dumps([data_version, space, fixed], sort_keys=True, default=str)
    return f"study-{sha256(text.encode())[:10]}"


def search(
    *,
    lab: Lab,
    name: str,
    tune: Tune,
    first: Values,
    objective: Objective,
    observer: Observer,
    foresee: Foresee = lambda values: {},
) -> Study:
    """Work on the study until it has `tune.trials` finished trials, going on where it stopped.

    Finished means complete or pruned. Any number of processes may do so at a time, on every machine
    that reaches the lab's database; together they start no more trials than that. A trial whose process
    died is run again with its own values: at once where it ran on this machine, elsewhere after
    `study.GRACE_S`. So is one that raised, by whoever works on.

    Args:
        lab: whose database keeps the study.
        name: as from `study_name`.
        tune: how many trials, the space, objectives, limits, the seed.
        first: the default set-up, tried first and never pruned by what others reach; values outside the
            space are clipped into it.
        objective: trains with some values and returns at least `tune.objectives`; it calls the reporter
            after each epoch, counted from 0, and lets through what that raises.
        observer: is told about every trial.
        foresee: measures that follow from the values alone: a trial that so breaks a limit is pruned
            before it trains.

    Raises:
        SearchError: no trial was completed within the limits, or the database failed.
    """
    with database_errors(name), on_duty(lab) as worker:
        study = open_study(lab, name, tune)
        queue = Queue(study, lab, tune, worker)
        queue.put_first(first)
        progress = Progress(study, tune)
        while finished(study) < tune.trials:
            taken = queue.take()
            _tell_of_others(study, observer)
            if taken is None:
                progress.wait()
            else:
                trial, values = taken
                spared = values == default(tune.space, first)
                run(Running(study, trial, tune, observer, spared), values, objective, foresee)
                progress.show(trial.number)
        _tell_of_others(study, observer)
        best_trial(study)
    return study


def _tell_of_others(study: Study, observer: Observer) -> None:
    """Tell of the ends of trials that their own workers did not live to tell."""
    unended = sorted(observer.unended())
    trials = study.get_trials(deepcopy=False) if unended else []
    for number in unended:
        if trials[number].state.is_finished():
            observer.ended(number, ending(trials[number]))
