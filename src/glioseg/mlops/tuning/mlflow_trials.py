"""A study in MLflow: one parent run, and a nested run for every trial."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from glioseg.mlops.tracking.mlflow_runs import (
    PARENT_TAG,
    experiment_id,
    log_dataset,
    log_metrics,
    log_params,
    log_system_metrics,
)
from glioseg.mlops.tracking.run_tags import run_tags
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import MONITORED, Measures, ParamValues, TrialResult

RUN_STATUS = {
    "complete": ("FINISHED", ""),
    "pruned": ("KILLED", " (pruned)"),
    "interrupted": ("KILLED", " (interrupted)"),
    "failed": ("FAILED", " (failed)"),
}
"""MLflow's status and the name suffix of a trial's run, by outcome; MLflow's list of runs shows both."""


class StudyLog:
    """Logs a study to MLflow; the observer of a search."""

    def __init__(
        self, client: MlflowClient, parent_id: str, describe: Callable[[ParamValues], Mapping[str, object]]
    ) -> None:
        self.parent_id = parent_id
        self._client = client
        self._describe = describe
        self._runs: dict[int, str] = {}
        self._monitors: dict[int, SystemMetricsMonitor] = {}

    def started(self, number: int, values: ParamValues) -> None:
        """Open the trial's run, with all its settings, not only those that vary."""
        self._client.update_run(self.parent_id, status="RUNNING")  # it may have been closed or stopped before
        tags = run_tags("tune") | {PARENT_TAG: self.parent_id, "trial": str(number), "state": "running"}
        experiment = experiment_id(self._client, "tune")
        run = self._client.create_run(experiment, tags=tags, run_name=f"trial {number}")
        self._runs[number] = run.info.run_id
        self._monitors[number] = log_system_metrics(run.info.run_id)
        log_params(self._client, run.info.run_id, self._describe(values))

    def epoch(self, number: int, epoch: int, logs: Mapping[str, float]) -> None:
        """Log a point of each curve."""
        log_metrics(self._client, self._runs[number], logs, step=epoch)

    def ended(self, number: int, result: TrialResult) -> None:
        """Close the trial's run, which another worker may have opened, and record how the trial ended."""
        run_id = self._runs.pop(number, None) or self._find(number)
        if run_id is None:
            return
        if number in self._monitors:
            self._monitors.pop(number).finish()
        status, suffix = RUN_STATUS[result.outcome]
        if result.exceeded_limits:
            self._client.set_tag(run_id, "over_limit", ", ".join(result.exceeded_limits))
            suffix = suffix or f" (over {' and '.join(result.exceeded_limits)})"
        log_metrics(self._client, run_id, _metrics(result.measures))
        if "dice" in result.measures:
            by_trial = {f"{MONITORED}_by_trial": result.measures["dice"]}
            log_metrics(self._client, self.parent_id, by_trial, step=number)
        self._client.set_tag(run_id, "state", result.outcome)
        self._client.set_tag(run_id, "mlflow.runName", f"trial {number}{suffix}")
        self._client.set_terminated(run_id, status)

    def open_trials(self) -> Iterable[int]:
        """The trials of all workers whose runs are open."""
        return [int(run.data.tags["trial"]) for run in self._search("attributes.status = 'RUNNING'")]

    def _find(self, number: int) -> str | None:
        found = self._search(f"tags.trial = '{number}'")
        return found[0].info.run_id if found else None

    def _search(self, condition: str) -> list[Run]:
        own = f"tags.`{PARENT_TAG}` = '{self.parent_id}' AND {condition}"
        found: list[Run] = self._client.search_runs([experiment_id(self._client, "tune")], own)
        return found


def _metrics(measures: Measures) -> dict[str, float]:
    return {f"best_{MONITORED}" if name == "dice" else name: value for name, value in measures.items()}


@contextmanager
def study_log(
    client: MlflowClient,
    *,
    storage: ProjectStorage,
    name: str,
    settings: Mapping[str, object],
    cases: Mapping[str, int],
    describe: Callable[[ParamValues], Mapping[str, object]],
) -> Iterator[StudyLog]:
    """Open a study's parent run, or its earlier one if the study continues, and close it after the block.

    Args:
        client: from `mlflow_runs.connect`.
        storage: to which the client is connected.
        name: of the study.
        settings: of the study; logged as the parent's parameters.
        cases: for `mlflow_runs.log_dataset`.
        describe: returns all settings of a trial with some values, nested as in params.yaml.
    """
    with storage.locked(name):  # two workers that start at the same time must share one parent run
        parent_id = _parent(client, name, settings, cases)
    try:
        yield StudyLog(client, parent_id, describe)
    except BaseException:
        client.set_terminated(parent_id, "KILLED")
        raise
    client.set_terminated(parent_id, "FINISHED")


def _parent(client: MlflowClient, name: str, settings: Mapping[str, object], cases: Mapping[str, int]) -> str:
    experiment = experiment_id(client, "tune")
    found: list[Run] = client.search_runs([experiment], f"tags.study = '{name}'")
    if found:
        return str(found[0].info.run_id)
    run = client.create_run(experiment, tags=run_tags("tune") | {"study": name}, run_name=name)
    parent_id = str(run.info.run_id)
    log_params(client, parent_id, settings)
    log_dataset(client, parent_id, cases=cases)
    return parent_id


def log_study_result(
    client: MlflowClient, parent_id: str, *, best: Measures, best_trial: int, folder: Path
) -> None:
    """Log a study's result to its parent run: the best trial's number and measures, and the plots."""
    log_metrics(client, parent_id, _metrics(best))
    client.set_tag(parent_id, "best_trial", str(best_trial))
    client.log_artifacts(parent_id, str(folder))
