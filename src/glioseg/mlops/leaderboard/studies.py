"""Studies for the page: their results and Optuna's plots, and the tags of their MLflow runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient

from glioseg.mlops.tracking.mlflow_runs import experiment_id
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import Study, load_studies, study_figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class StudyRecord:
    """A study: counts of its trials, its best trials, its plots, and the tags of its MLflow run, if any."""

    name: str
    when: datetime | None
    trials: str
    best: str
    figures: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]


def find_studies(client: MlflowClient, storage: ProjectStorage) -> list[StudyRecord]:
    """All studies of a project, the newest first.

    Args:
        client: from `mlflow_runs.connect`.
        storage: its database holds the studies.
    """
    return [
        StudyRecord(
            name=study.study_name,
            when=_start(study),
            trials=_trials(study),
            best=_best(study),
            figures=[_plain(figure) for figure in study_figures(study)],
            tags=_tags(client, study.study_name),
        )
        for study in load_studies(storage)
    ]


def _trials(study: Study) -> str:
    states = [trial.state.name.lower() for trial in study.trials]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"


def _start(study: Study) -> datetime | None:
    return min((trial.datetime_start for trial in study.trials if trial.datetime_start), default=None)


def _best(study: Study) -> str:
    """The best trial, or with several objectives the Pareto-optimal trials, in one line."""
    parts = [
        f"{' and '.join(f'{value:.3f}' for value in trial.values)} in trial {trial.number}"
        for trial in study.best_trials
    ]
    return ", ".join(parts) or "no completed trial"


def _plain(figure: "Figure") -> dict[str, Any]:
    """A figure as JSON values for plotly's script."""
    content: dict[str, Any] = json.loads(figure.update_layout(template="plotly_white").to_json())
    return content


def _tags(client: MlflowClient, name: str) -> dict[str, str]:
    found = client.search_runs([experiment_id(client, "tune")], f"tags.study = '{name}'", max_results=1)
    return dict(found[0].data.tags) if found else {}
