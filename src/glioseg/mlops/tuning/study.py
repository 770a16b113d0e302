"""A study in Optuna's database: open, list and delete it; how its trials ended; heartbeats of its workers."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Literal, cast

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError

from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning.samplers import make_pruner
from glioseg.params.study import Tune

ParamValue = float | int | str
ParamValues = Mapping[str, ParamValue]
"""The values of a trial, by the name of the parameter."""
Measures = Mapping[str, float]
"""Numbers of a trial by name: `dice`, `case_s`, `memory_gb`."""

HEARTBEAT_S, GRACE_S = 60, 180
"""Interval of a worker's heartbeats, and how long other machines wait for one before they retry its trial."""
BUSY_S = 60
"""How long to wait for an SQLite file that another process is writing to."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
DIRECTIONS = {"dice": "maximize", "case_s": "minimize"}
MEASURES = ("dice", "case_s", "memory_gb")
ERROR = "error"
"""Attribute of a trial that raised an error: the error."""


class StudyError(GliosegError):
    """A study that cannot give a result."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended; its `dice` is the best over its epochs."""

    outcome: Literal["complete", "pruned", "failed", "interrupted"]
    measures: Measures = field(default_factory=dict)
    exceeded_limits: tuple[str, ...] = ()


def open_study(storage: ProjectStorage, name: str, tune: Tune) -> optuna.Study:
    """Open a study, or create it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the worker itself reports the error of a trial, once
    return optuna.create_study(
        study_name=name,
        storage=open_optuna_storage(storage),
        directions=[DIRECTIONS[objective] for objective in tune.objectives],
        load_if_exists=True,
        pruner=make_pruner(tune),
    )


def open_optuna_storage(storage: ProjectStorage) -> RDBStorage:
    """Open the database of studies; create Optuna's tables in a new one."""
    storage.prepare()
    options = (
        {"heartbeat_interval": HEARTBEAT_S, "grace_period": GRACE_S}
        if storage.shared
        else {"engine_kwargs": {"connect_args": {"timeout": BUSY_S}}}
    )
    with storage.locked("optuna.db"), warnings.catch_warnings():  # two processes must not create the tables
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(storage.study_url, **options)


def study_names(storage: ProjectStorage) -> list[str]:
    """The names of all studies; none if the database does not exist yet.

    Raises:
        StudyError: the database is damaged.
    """
    if not all(database.exists() for database in storage.database_files):
        return []
    storage.prepare()
    with database_errors("studies"):
        return sorted(optuna.get_all_study_names(storage=storage.study_url))


def load_studies(storage: ProjectStorage) -> list[optuna.Study]:
    """All studies, the newest first."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = study_names(storage)
    if not names:
        return []
    optuna_storage = RDBStorage(storage.study_url)
    names.sort(key=optuna_storage.get_study_id_from_name, reverse=True)
    return [optuna.load_study(study_name=name, storage=optuna_storage) for name in names]


def delete_study(storage: ProjectStorage, name: str) -> None:
    """Delete a study with its trials."""
    optuna.delete_study(study_name=name, storage=storage.study_url)


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn errors of the database into a `StudyError` with the database's own message.

    Optuna's own message only lists possible causes.

    Raises:
        StudyError: the database failed in this block.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, DBAPIError) as error:
        reason = getattr(error.__cause__, "orig", None) or getattr(error, "orig", error)
        raise StudyError(f"{name}: the database failed: {' '.join(str(reason).split())}") from None


def count_finished(study: optuna.Study) -> int:
    """The number of complete and pruned trials."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The trial of highest Dice within the limits; of trials with equal Dice, the fastest.

    It is on the Pareto front: no other trial is better in all objectives.

    Raises:
        StudyError: no trial is complete and within the limits.
    """
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    within_limits = [trial for trial in complete if not trial_result(trial).exceeded_limits]
    if not within_limits:
        raise StudyError(
            f"{study.study_name}: expected a completed trial within the limits,"
            f" got {len(complete)} completed of {count_finished(study)} finished ones"
        )
    return max(within_limits, key=lambda trial: (trial.values[0], *(-value for value in trial.values[1:])))


def trial_result(trial: FrozenTrial) -> TrialResult:
    """How a trial ended, and with which measures."""
    measures = {name: trial.user_attrs[name] for name in MEASURES if name in trial.user_attrs}
    exceeded = tuple(name for name, excess in trial.constraints.items() if excess > 0)
    reported = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    if trial.state == TrialState.COMPLETE:
        return TrialResult("complete", measures, exceeded)
    if trial.state == TrialState.PRUNED:
        return TrialResult("pruned", measures | ({"dice": max(reported)} if reported else {}), exceeded)
    return TrialResult("failed" if ERROR in trial.user_attrs else "interrupted", measures, exceeded)


@contextmanager
def heartbeats(trial: Trial) -> Iterator[None]:
    """Record heartbeats of a trial until the block ends, if the database has an interval for them.

    `Study.optimize` does so by itself; `Study.ask` does not.
    """
    interval_s = _heartbeat_interval_s(trial)
    if interval_s is None:
        yield
        return
    stop = Event()
    thread = Thread(target=_keep_recording, args=(trial, interval_s, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def record_heartbeat(trial: Trial) -> None:
    """Record one heartbeat of a trial, if the database has an interval for them.

    Optuna fails trials whose last heartbeat is old, but never a trial without heartbeats.
    """
    if _heartbeat_interval_s(trial) is not None:
        optuna_storage = cast(RDBStorage, trial.storage)
        study_id = optuna_storage.get_study_id_from_name(trial.study.study_name)
        trial_id = optuna_storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        optuna_storage.record_heartbeat(trial_id)


def _keep_recording(trial: Trial, interval_s: float, stop: Event) -> None:
    record_heartbeat(trial)
    while not stop.wait(interval_s):
        record_heartbeat(trial)


def _heartbeat_interval_s(trial: Trial) -> int | None:
    interval_s = getattr(trial.storage, "get_heartbeat_interval", None)  # storage in memory has none
    return interval_s() if interval_s else None
