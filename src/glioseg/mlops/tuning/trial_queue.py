"""The queue of a study's trials: workers take one trial at a time, and retry the trials of dead workers."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from socket import gethostname
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from glioseg.mlops.tracking.process_locks import exclusive_lock, is_locked
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning.samplers import make_sampler
from glioseg.mlops.tuning.search_space import clip_to_space, suggest
from glioseg.mlops.tuning.study import FINISHED, ParamValues, record_heartbeat
from glioseg.params.study import Tune

MAX_RETRIES = 3  # of one trial that did not finish: the trial itself may kill its process
WORKER = "worker"
"""Attribute of a trial: host and name of its worker. It is set once the trial has all its values."""
RETRY_OF = "retry_of"
"""Attribute of a trial: the numbers of the trials that it retries."""


@contextmanager
def register_worker(storage: ProjectStorage) -> Iterator[Mapping[str, str]]:
    """Register a worker until the block ends: it holds a lock, by which others detect that it runs.

    Yields:
        Its host and name, which mark its trials.
    """
    name = f"worker-{uuid4().hex[:12]}"
    with exclusive_lock(storage.lock_file(name)):
        try:
            yield {"host": gethostname(), "name": name}
        finally:
            storage.lock_file(name).unlink()


@dataclass(frozen=True)
class TrialQueue:
    """Gives the trials of a study to one of its workers."""

    study: optuna.Study
    storage: ProjectStorage
    tune: Tune
    worker: Mapping[str, str]

    def enqueue_default(self, values: ParamValues) -> None:
        """Enqueue the default values, unless a trial has them or is enqueued with them."""
        default = clip_to_space(self.tune.space, values)
        with self._locked():
            self._requeue_lost_trials()
            alive = [trial for trial in self.study.trials if trial.state != TrialState.FAIL]
            if not any(default in (trial.params, trial.system_attrs.get("fixed_params")) for trial in alive):
                self.study.enqueue_trial(dict(default))

    def take(self) -> tuple[Trial, ParamValues] | None:
        """Start a trial and suggest its values; None if other workers run all trials that are left."""
        with self._locked():
            self._requeue_lost_trials()
            started = self.study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
            return self._start() if len(started) < self.tune.trials else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.storage.locked(self.study.study_name), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # experimental features of Optuna; heartbeats, which `run_trial` sends
            yield

    def _start(self) -> tuple[Trial, ParamValues]:
        trials = self.study.get_trials(deepcopy=False)
        sampled = [t for t in trials if WORKER in t.user_attrs and RETRY_OF not in t.user_attrs]
        self.study.sampler = make_sampler(self.tune, trial=len(sampled))
        trial = self.study.ask()
        values = suggest(trial, self.tune.space)
        record_heartbeat(trial)
        trial.set_user_attr(WORKER, self.worker)
        return trial, values

    def _requeue_lost_trials(self) -> None:
        """Fail the trials of dead workers, and enqueue each failed trial once, with its values."""
        optuna.storages.fail_stale_trials(self.study)
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if self._is_worker_dead(trial):
                # Since the trials were read, a worker may have finished its trial and ended.
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        trials = self.study.get_trials(deepcopy=False)
        retried = {number for trial in trials for number in trial.user_attrs.get(RETRY_OF, ())}
        for trial in trials:
            history = [*trial.user_attrs.get(RETRY_OF, ()), trial.number]
            lost = trial.state == TrialState.FAIL and trial.number not in retried
            if lost and len(history) <= MAX_RETRIES and (values := _values_to_retry(trial)):
                self.study.enqueue_trial(values, user_attrs={RETRY_OF: history})

    def _is_worker_dead(self, trial: FrozenTrial) -> bool:
        """Whether a running trial's worker is known to be dead; elsewhere only heartbeats show this."""
        worker = trial.user_attrs.get(WORKER)
        if worker is None:  # it died while it held the lock of the queue, which this worker holds now
            return True
        if self.storage.shared and worker["host"] != gethostname():
            return False
        lock_file = self.storage.lock_file(worker["name"])
        return not is_locked(lock_file) if lock_file.exists() else not self.storage.shared


def _values_to_retry(trial: FrozenTrial) -> ParamValues | None:
    """The values of a failed trial; if it died before it had them all, those that it was enqueued with."""
    values: ParamValues | None = (
        trial.params if WORKER in trial.user_attrs else trial.system_attrs.get("fixed_params")
    )
    return values
