"""Reports on a study: progress lines of a worker, and the files with the result.

The files are the best values, the table of trials, and Optuna's plots in one HTML page that works offline.
"""

import json
import math
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.trial import FrozenTrial

from glioseg.mlops.tuning.study import StudyError, best_trial, count_finished, trial_result
from glioseg.params.study import Tune

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POLL_S = 1
"""Interval at which a worker without a trial checks whether it can take one."""
OBJECTIVE_NAMES = ("Dice", "seconds per case")
"""In the order of the objectives."""


@dataclass
class StudyProgress:
    """Prints the progress of the study, including the trials of all workers."""

    study: Study
    tune: Tune
    waiting: bool = False
    start_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.finished_before = count_finished(self.study)
        progress = f"{self.finished_before}/{self.tune.trials}"
        print(f"tune: {self.study.study_name}: {progress} trials are finished", flush=True)
        starts = self.finished_before < self.tune.trials
        if len(self.tune.objectives) > 1 and self.tune.pruner != "none" and starts:
            print(f"tune: no trial is pruned with two objectives: {self.tune.pruner} is ignored", flush=True)

    def wait(self) -> None:
        """Wait for `POLL_S`; the first call prints that the worker waits for others."""
        if not self.waiting:
            print("tune: waiting for trials that other workers run", flush=True)
        self.waiting = True
        time.sleep(POLL_S)

    def show(self, number: int) -> None:
        """Print how a trial of this worker ended, and how many are left."""
        last, finished = trial_result(self.study.trials[number]), count_finished(self.study)
        try:
            best = best_trial(self.study).values[0]
        except StudyError:
            best = math.nan
        outcome = f"Dice {last.measures['dice']:.3f}" if last.outcome == "complete" else last.outcome
        over = f" over the limit of {' and '.join(last.exceeded_limits)}" if last.exceeded_limits else ""
        elapsed_s = time.monotonic() - self.start_s
        trial_s = elapsed_s / max(1, finished - self.finished_before)
        left_s = trial_s * max(0, self.tune.trials - finished)
        print(
            f"tune: {finished}/{self.tune.trials} trials, the last {outcome}{over}, best Dice {best:.3f},"
            f" about {left_s:.0f} s left",
            flush=True,
        )


def write_study(study: Study, folder: Path, *, title: str) -> None:
    """Write best_params.json, trials.csv and study.html."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_params.json").write_text(json.dumps(best_trial(study).params, indent=2) + "\n")
    study.trials_dataframe().to_csv(folder / "trials.csv", index=False)
    (folder / "study.html").write_text(study_page(study, title=title))


def study_page(study: Study, *, title: str) -> str:
    """Optuna's plots as one HTML page that works offline: it contains plotly's script once."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=(i == 0))
        for i, figure in enumerate(study_figures(study))
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    return f"{head}<body><h1>{title}</h1>{''.join(parts)}</body></html>"


def study_figures(study: Study) -> list["Figure"]:
    """Optuna's plots of a study, as figures of plotly."""
    figures = []
    for plot in _plots(len(study.directions)):
        # Importances need two completed trials that differ, and Optuna warns if there are few.
        with suppress(ValueError, RuntimeError), warnings.catch_warnings(action="ignore"):
            figures.append(plot(study))
    return figures


def _plots(objectives: int) -> list[Callable[[Study], Any]]:
    from optuna import visualization as plots  # plotly and scikit-learn, which the search does not need

    if objectives == 1:
        return [
            plots.plot_optimization_history,
            plots.plot_param_importances,
            plots.plot_intermediate_values,
            plots.plot_parallel_coordinate,
        ]
    targets = [{"target": partial(_value, i), "target_name": name} for i, name in enumerate(OBJECTIVE_NAMES)]
    return [
        partial(plots.plot_pareto_front, target_names=list(OBJECTIVE_NAMES)),
        partial(plots.plot_optimization_history, **targets[0]),
        *(partial(plots.plot_param_importances, **target) for target in targets),
        *(partial(plots.plot_parallel_coordinate, **target) for target in targets),
    ]


def _value(objective: int, trial: FrozenTrial) -> float:
    return float(trial.values[objective])
