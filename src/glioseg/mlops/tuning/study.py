"""A study of Optuna's, opened in the lab's database, and how its trials ended."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages._heartbeat import get_heartbeat_thread, is_heartbeat_enabled  # `ask` sends none
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError

from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning.samplers import make_pruner
from glioseg.mlops.tuning.types import Ending, SearchError
from glioseg.params.study import Tune

HEARTBEAT_S, GRACE_S = 60, 180
"""How often a worker says that it lives, and after how long a silence others on other machines act."""
BUSY_S = 60
"""How long to wait for an SQLite file that another process is writing to."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
DIRECTIONS = {"dice": "maximize", "case_s": "minimize"}
MEASURES = ("dice", "case_s", "memory_gb")
ERROR = "error"
"""Attribute of a trial that raised: what it was."""


def open_study(lab: Lab, name: str, tune: Tune) -> optuna.Study:
    """Open a study, or create it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial raises is told once, by its worker
    return optuna.create_study(
        study_name=name,
        storage=open_storage(lab),
        directions=[DIRECTIONS[objective] for objective in tune.objectives],
        load_if_exists=True,
        pruner=make_pruner(tune),
    )


def open_storage(lab: Lab) -> optuna.storages.RDBStorage:
    """Open the lab's database of studies, with Optuna's tables in it."""
    lab.prepare()
    shared = {"heartbeat_interval": HEARTBEAT_S, "grace_period": GRACE_S}
    alone = {"engine_kwargs": {"connect_args": {"timeout": BUSY_S}}}
    with lab.alone("optuna.db"), warnings.catch_warnings():  # two that create its tables at once would clash
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(lab.study_url, **(shared if lab.shared else alone))


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Say in the database's own words why it failed a study: Optuna's guess at another cause.

    Raises:
        SearchError: it did in this block.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, DBAPIError) as error:
        reason = getattr(error.__cause__, "orig", None) or getattr(error, "orig", error)
        raise SearchError(f"{name}: the database failed: {' '.join(str(reason).split())}") from None


def finished(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The trial with the highest Dice of those that keep within the limits; of equal ones the fastest.

    It lies on the Pareto front: no other is better in all that was asked for.

    Raises:
        SearchError: there is none.
    """
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    sound = [trial for trial in complete if not ending(trial).broken]
    if not sound:
        raise SearchError(
            f"{study.study_name}: expected a completed trial within the limits,"
            f" got {len(complete)} completed of {finished(study)} finished ones"
        )
    return max(sound, key=lambda trial: (trial.values[0], *(-value for value in trial.values[1:])))


def ending(trial: FrozenTrial) -> Ending:
    """How a trial ended, and with which measures."""
    measures = {name: trial.user_attrs[name] for name in MEASURES if name in trial.user_attrs}
    broken = tuple(name for name, excess in trial.constraints.items() if excess > 0)
    seen = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    if trial.state == TrialState.COMPLETE:
        return Ending("complete", measures, broken)
    if trial.state == TrialState.PRUNED:
        return Ending("pruned", measures | ({"dice": max(seen)} if seen else {}), broken)
    return Ending("failed" if ERROR in trial.user_attrs else "interrupted", measures, broken)


@contextmanager
def heartbeats(study: optuna.Study, trial: Trial) -> Iterator[None]:
    """Show from time to time that the trial's worker lives, where others cannot see it by themselves."""
    with get_heartbeat_thread(trial._trial_id, study._storage):
        yield


def first_heartbeat(study: optuna.Study, trial: Trial) -> None:
    """Show that a trial's worker lives: one that never did would never be missed."""
    if is_heartbeat_enabled(study._storage):
        study._storage.record_heartbeat(trial._trial_id)
