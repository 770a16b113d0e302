"""Worker: works on a study with trials that are arithmetic and a little sleep."""

import time
from collections import Counter
from pathlib import Path

from serve import serve

from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning.search_loop import Report, RunningTrial, run_trial
from glioseg.mlops.tuning.study import Measures, ParamValues, TrialResult, open_study
from glioseg.mlops.tuning.study_report import StudyProgress
from glioseg.mlops.tuning.trial_queue import TrialQueue, register_worker
from glioseg.params import load_params

STATE = {}
NO_END = 1_000_000


class Kept:
    """An observer that counts how trials ended."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def started(self, number: int, values: ParamValues) -> None:
        """Nothing to do."""

    def epoch(self, number: int, epoch: int, logs: dict[str, float]) -> None:
        """Nothing to do."""

    def ended(self, number: int, result: TrialResult) -> None:
        """Count it."""
        self.outcomes[result.outcome] += 1

    def open_trials(self) -> tuple[int, ...]:
        """Nobody asks."""
        return ()


class Arithmetic:
    """An objective that is the better the nearer the learning rate is to 0.003; it counts its reports."""

    def __init__(self, epochs: int, epoch_s: float) -> None:
        self.epochs, self.epoch_s, self.reports = epochs, epoch_s, 0
        self.report_ms: list[float] = []

    def __call__(self, values: ParamValues, report: Report) -> Measures:
        """Sleep and report, epoch after epoch."""
        for epoch in range(self.epochs):
            time.sleep(self.epoch_s)
            dice = 0.9 - 50 * abs(values["learning_rate"] - 0.003) - 0.1 / (epoch + 1)
            self.reports += 1
            begun = time.perf_counter()
            try:
                report(epoch, {"val_dice": dice})
            finally:
                self.report_ms.append(1000 * (time.perf_counter() - begun))
        return {"dice": dice}


def enter(*, root: str, url: str, name: str, epochs: int) -> None:
    """Open the study, with the space, the sampler and the pruner of params.yaml."""
    tune = load_params().tune.model_copy(update={"trials": NO_END, "epochs": epochs})
    storage = ProjectStorage(Path(root), url)
    STATE.update(storage=storage, tune=tune, study=open_study(storage, name, tune))


def work(*, seconds: float, epoch_s: float) -> dict[str, object]:
    """Run one trial after another until the time is up, as `glioseg.mlops.tuning.search_loop` does.

    Returns:
        `counts`: of trials, by outcome and in all, and of reported epochs; `ms`: milliseconds of each call.
    """
    end, observer = time.monotonic() + seconds, Kept()
    storage, tune, study = STATE["storage"], STATE["tune"], STATE["study"]
    objective, take_ms = Arithmetic(tune.epochs, epoch_s), []
    with register_worker(storage) as worker:
        queue, progress = TrialQueue(study, storage, tune, worker), StudyProgress(study, tune)
        while time.monotonic() < end:
            begun = time.perf_counter()
            trial, values = queue.take()
            take_ms.append(1000 * (time.perf_counter() - begun))
            run_trial(
                RunningTrial(study, trial, tune, observer, is_default=False),
                values,
                objective,
                lambda values: {},
            )
            progress.show(trial.number)
    ms = {"Optuna: take a trial": take_ms, "Optuna: report an epoch": objective.report_ms}
    counts = observer.outcomes | {"trials": observer.outcomes.total(), "reports": objective.reports}
    return {"counts": counts, "ms": ms}


if __name__ == "__main__":
    serve(enter, work)
