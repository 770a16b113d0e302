"""Who runs which trial: workers ask one after the other, and trials of dead workers are run again."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from socket import gethostname
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from glioseg.mlops.tracking.storage import Lab, alone, held
from glioseg.mlops.tuning.samplers import make_sampler
from glioseg.mlops.tuning.search_space import default, draw
from glioseg.mlops.tuning.study import FINISHED, first_heartbeat
from glioseg.mlops.tuning.types import Values
from glioseg.params.study import Tune

MAX_RETRIES = 3  # of one trial that did not finish: it may be what kills its process
WORKER = "worker"
"""Attribute of a trial: who runs it. It is written once all values are drawn."""
RETRY_OF = "retry_of"
"""Attribute of a trial: the numbers of those that it runs again."""


@contextmanager
def on_duty(lab: Lab) -> Iterator[Mapping[str, str]]:
    """Be a worker, which others on this machine know to live while it holds a lock of its own."""
    name = f"worker-{uuid4().hex[:12]}"
    with alone(lab.lock(name)):
        try:
            yield {"host": gethostname(), "name": name}
        finally:
            lab.lock(name).unlink()


@dataclass(frozen=True)
class Queue:
    """Hands out the trials of a study to one of its workers."""

    study: optuna.Study
    lab: Lab
    tune: Tune
    worker: Mapping[str, str]

    def put_first(self, values: Values) -> None:
        """Enqueue the default set-up unless a trial has had it, or has it still to come."""
        first = default(self.tune.space, values)
        with self._turn():
            self._recover()
            alive = [trial for trial in self.study.trials if trial.state != TrialState.FAIL]
            if not any(first in (trial.params, trial.system_attrs.get("fixed_params")) for trial in alive):
                self.study.enqueue_trial(dict(first))

    def take(self) -> tuple[Trial, Values] | None:
        """Start a trial and draw its values; None where others run all that are left."""
        with self._turn():
            self._recover()
            begun = self.study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
            return self._start() if len(begun) < self.tune.trials else None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self.lab.alone(self.study.study_name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental, and of heartbeats; see `run`
            yield

    def _start(self) -> tuple[Trial, Values]:
        trials = self.study.get_trials(deepcopy=False)
        drawn = [t for t in trials if WORKER in t.user_attrs and RETRY_OF not in t.user_attrs]
        self.study.sampler = make_sampler(self.tune, trial=len(drawn))
        trial = self.study.ask()
        values = draw(trial, self.tune.space)
        first_heartbeat(self.study, trial)
        trial.set_user_attr(WORKER, self.worker)
        return trial, values

    def _recover(self) -> None:
        """Fail the trials of dead workers, and enqueue those that failed, once each, with their values."""
        optuna.storages.fail_stale_trials(self.study)
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if self._dead(trial):
                # A worker may have ended its trial, and then left, since the trials were read.
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        trials = self.study.get_trials(deepcopy=False)
        repeated = {number for trial in trials for number in trial.user_attrs.get(RETRY_OF, ())}
        for trial in trials:
            history = [*trial.user_attrs.get(RETRY_OF, ()), trial.number]
            lost = trial.state == TrialState.FAIL and trial.number not in repeated
            if lost and len(history) <= MAX_RETRIES and (values := _values(trial)):
                self.study.enqueue_trial(values, user_attrs={RETRY_OF: history})

    def _dead(self, trial: FrozenTrial) -> bool:
        """Whether a trial's worker is known to be dead; of other machines only heartbeats tell."""
        worker = trial.user_attrs.get(WORKER)
        if worker is None:  # it died in its turn, for this is ours
            return True
        if self.lab.shared and worker["host"] != gethostname():
            return False
        lock = self.lab.lock(worker["name"])
        return not held(lock) if lock.exists() else not self.lab.shared


def _values(trial: FrozenTrial) -> Values | None:
    """What a trial that failed had drawn; where it died while it drew, what it was told to take."""
    values: Values | None = (
        trial.params if WORKER in trial.user_attrs else trial.system_attrs.get("fixed_params")
    )
    return values
