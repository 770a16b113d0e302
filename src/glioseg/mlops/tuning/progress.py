"""What a worker says while it works: how far the study is, whoever runs its trials."""

import math
import time
from dataclasses import dataclass, field

from optuna import Study

from glioseg.mlops.tuning.study import best_trial, ending, finished
from glioseg.mlops.tuning.types import SearchError
from glioseg.params.study import Tune

POLL_S = 1
"""How often a worker without a trial looks whether there is one."""


@dataclass
class Progress:
    """Lines on how far the study is, whoever runs its trials."""

    study: Study
    tune: Tune
    waiting: bool = False
    start_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = finished(self.study)
        print(
            f"tune: {self.study.study_name}: {self.before}/{self.tune.trials} trials are finished", flush=True
        )
        if len(self.tune.objectives) > 1 and self.tune.pruner != "none" and self.before < self.tune.trials:
            print(f"tune: with two objectives no trial is pruned: {self.tune.pruner} has no say", flush=True)

    def wait(self) -> None:
        """Wait a moment for other workers; say so once."""
        if not self.waiting:
            print("tune: waiting for trials that other workers run", flush=True)
        self.waiting = True
        time.sleep(POLL_S)

    def show(self, number: int) -> None:
        """Say how a trial of this worker went, and what is left."""
        last, done = ending(self.study.trials[number]), finished(self.study)
        try:
            best = best_trial(self.study).values[0]
        except SearchError:
            best = math.nan
        fate = f"Dice {last.measures['dice']:.3f}" if last.outcome == "complete" else last.outcome
        over = f" over the limit of {' and '.join(last.broken)}" if last.broken else ""
        passed_s = time.monotonic() - self.start_s
        left_s = passed_s / max(1, done - self.before) * max(0, self.tune.trials - done)
        print(
            f"tune: {done}/{self.tune.trials} trials, the last {fate}{over}, best Dice {best:.3f},"
            f" about {left_s:.0f} s left",
            flush=True,
        )
