"""What a study leaves: its best values, its table, and Optuna's own plots in one offline page."""

import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.trial import FrozenTrial

from glioseg.mlops.tuning.study import best_trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NAMES = ("Dice", "seconds per case")
"""Of the objectives, in their order."""


def write_study(study: Study, folder: Path, *, title: str) -> None:
    """Write best_params.json, trials.csv and study.html."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_params.json").write_text(json.dumps(best_trial(study).params, indent=2) + "\n")
    study.trials_dataframe().to_csv(folder / "trials.csv", index=False)
    (folder / "study.html").write_text(study_page(study, title=title))


def study_page(study: Study, *, title: str) -> str:
    """Optuna's plots as one HTML page that needs no network: plotly's script is in it once."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=(i == 0))
        for i, figure in enumerate(study_figures(study))
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    return f"{head}<body><h1>{title}</h1>{''.join(parts)}</body></html>"


def study_figures(study: Study) -> list["Figure"]:
    """Optuna's plots of a study, as plotly's figures."""
    figures = []
    for plot in _plots(len(study.directions)):
        # Importances take two completed trials that differ, and Optuna warns where they are few.
        with suppress(ValueError, RuntimeError), warnings.catch_warnings(action="ignore"):
            figures.append(plot(study))
    return figures


def _plots(objectives: int) -> list[Callable[[Study], Any]]:
    from optuna import visualization as plots  # plotly and scikit-learn: not needed to search

    if objectives == 1:
        return [
            plots.plot_optimization_history,
            plots.plot_param_importances,
            plots.plot_intermediate_values,
            plots.plot_parallel_coordinate,
        ]
    of = [{"target": partial(_value, i), "target_name": name} for i, name in enumerate(NAMES)]
    return [
        partial(plots.plot_pareto_front, target_names=list(NAMES)),
        partial(plots.plot_optimization_history, **of[0]),
        *(partial(plots.plot_param_importances, **each) for each in of),
        *(partial(plots.plot_parallel_coordinate, **each) for each in of),
    ]


def _value(objective: int, trial: FrozenTrial) -> float:
    return float(trial.values[objective])
