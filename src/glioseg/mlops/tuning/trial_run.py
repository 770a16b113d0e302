"""One trial, from its first epoch to the end that Optuna and the observer are told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from optuna import Study, TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from glioseg.mlops.tuning.study import ERROR, ending, heartbeats
from glioseg.mlops.tuning.types import WATCHED, Foresee, Measures, Objective, Observer, Values
from glioseg.params.study import Tune


@dataclass(frozen=True)
class Running:
    """A trial that this worker runs; `spared` from pruning is the default, below which no study may end."""

    study: Study
    trial: Trial
    tune: Tune
    observer: Observer
    spared: bool

    def report(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tell of an epoch, and end the trial where it is a poor one."""
        self.observer.epoch(self.trial.number, epoch, logs)
        _prune_if(not math.isfinite(logs[WATCHED]), "it diverged")
        if len(self.tune.objectives) == 1:  # Optuna prunes by one objective only
            self.trial.report(logs[WATCHED], epoch)
            _prune_if(not self.spared and self.trial.should_prune(), "others were better by then")

    def note(self, measures: Measures) -> None:
        """Keep what was measured, and whether it is within the limits."""
        for name, value in measures.items():
            self.trial.set_user_attr(name, value)
        for name, excess in self.tune.limits.excess(measures).items():
            self.trial.set_constraint(name, excess)

    def tell(self, state: TrialState, values: list[float] | None = None) -> None:
        """Tell Optuna the end, unless others took this worker for dead and did."""
        self.study.tell(self.trial, values, state=state, skip_if_finished=True)


def run(running: Running, values: Values, objective: Objective, foresee: Foresee) -> None:
    """Run a trial to its end, whatever that is, and tell of it.

    Args:
        running: the trial.
        values: that it has drawn.
        objective: as for `search`.
        foresee: as for `search`.
    """
    number = running.trial.number
    try:
        with heartbeats(running.study, running.trial):
            running.observer.started(number, values)
            found = _measure(running, values, objective, foresee)
        running.tell(TrialState.COMPLETE, [found[name] for name in running.tune.objectives])
    except TrialPruned:
        running.tell(TrialState.PRUNED)
    except UpdateFinishedTrialError:
        print(f"tune: trial {number} was taken for dead after a long silence, another repeats it", flush=True)
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            running.trial.set_user_attr(ERROR, repr(error))
        running.tell(TrialState.FAIL)
        raise
    finally:
        running.observer.ended(number, ending(running.study.trials[number]))


def _measure(running: Running, values: Values, objective: Objective, foresee: Foresee) -> Measures:
    foreseen = foresee(values)
    running.note(foreseen)
    excess = running.tune.limits.excess(foreseen)
    _prune_if(any(over > 0 for over in excess.values()), "it breaks a limit")
    found = objective(values, running.report)
    _prune_if(not all(map(math.isfinite, found.values())), "the result is not a number")
    running.note(found)
    return found


def _prune_if(poor: bool, why: str) -> None:
    if poor:
        raise TrialPruned(why)
