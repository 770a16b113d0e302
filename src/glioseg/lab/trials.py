"""A study in MLflow: one parent run, and a nested run for every trial."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from glioseg.lab.lineage import tags
from glioseg.lab.search import WATCHED, Values
from glioseg.lab.tracking import (
    PARENT_TAG,
    experiment_id,
    log_dataset,
    log_metrics,
    log_params,
    system_metrics,
)

ENDINGS = {
    "complete": ("FINISHED", ""),
    "pruned": ("KILLED", " (pruned)"),
    "interrupted": ("KILLED", " (interrupted)"),
    "failed": ("FAILED", " (failed)"),
}
"""MLflow's status of a trial's run, and what its name then ends in: a list of runs shows both."""


class StudyLog:
    """Follows a study in MLflow; as an observer of `search.search`."""

    def __init__(
        self, client: MlflowClient, parent_id: str, describe: Callable[[Values], Mapping[str, object]]
    ) -> None:
        self.parent_id = parent_id
        self._client = client
        self._describe = describe
        self._runs: dict[int, str] = {}
        self._monitors: dict[int, SystemMetricsMonitor] = {}

    def started(self, number: int, values: Values) -> None:
        """Open the trial's run, with all its settings and not only those that vary."""
        marks = tags("tune") | {PARENT_TAG: self.parent_id, "trial": str(number), "state": "running"}
        experiment = experiment_id(self._client, "tune")
        run = self._client.create_run(experiment, tags=marks, run_name=f"trial {number}")
        self._runs[number] = run.info.run_id
        self._monitors[number] = system_metrics(run.info.run_id)
        log_params(self._client, run.info.run_id, self._describe(values))

    def epoch(self, number: int, epoch: int, logs: Mapping[str, float]) -> None:
        """Log a point of each curve."""
        log_metrics(self._client, self._runs[number], logs, step=epoch)

    def ended(self, number: int, outcome: str, value: float | None) -> None:
        """Close the trial's run and mark how it ended; a run of a killed process is looked up."""
        run_id = self._runs.pop(number, None) or self._find(number)
        if run_id is None:
            return
        if number in self._monitors:
            self._monitors.pop(number).finish()
        status, suffix = ENDINGS[outcome]
        if value is not None:
            log_metrics(self._client, run_id, {f"best_{WATCHED}": value})
            log_metrics(self._client, self.parent_id, {f"{WATCHED}_by_trial": value}, step=number)
        self._client.set_tag(run_id, "state", outcome)
        self._client.set_tag(run_id, "mlflow.runName", f"trial {number}{suffix}")
        self._client.set_terminated(run_id, status)

    def _find(self, number: int) -> str | None:
        mine = f"tags.`{PARENT_TAG}` = '{self.parent_id}' AND tags.trial = '{number}'"
        found = self._client.search_runs([experiment_id(self._client, "tune")], mine)
        return found[0].info.run_id if found else None


@contextmanager
def study_log(
    client: MlflowClient,
    *,
    name: str,
    settings: Mapping[str, object],
    cases: Mapping[str, int],
    describe: Callable[[Values], Mapping[str, object]],
) -> Iterator[StudyLog]:
    """Open a study's parent run, the one that it had before where it goes on, and close it after.

    Args:
        client: as from `tracking.connect`.
        name: the study's.
        settings: of the study; logged as the parent's parameters.
        cases: as `tracking.log_dataset` takes them.
        describe: all settings of a trial with some values, nested as in params.yaml.
    """
    experiment = experiment_id(client, "tune")
    found: list[Run] = client.search_runs([experiment], f"tags.study = '{name}'")
    if found:
        parent_id = found[0].info.run_id
        client.update_run(parent_id, status="RUNNING")
    else:
        parent_id = client.create_run(
            experiment, tags=tags("tune") | {"study": name}, run_name=name
        ).info.run_id
        log_params(client, parent_id, settings)
        log_dataset(client, parent_id, cases=cases)
    try:
        yield StudyLog(client, parent_id, describe)
    except BaseException:
        client.set_terminated(parent_id, "KILLED")
        raise
    client.set_terminated(parent_id, "FINISHED")


def log_study(client: MlflowClient, parent_id: str, *, best: float, best_trial: int, folder: Path) -> None:
    """Log a study's result to its parent run: the best value, whose it is, and the plots."""
    log_metrics(client, parent_id, {f"best_{WATCHED}": best})
    client.set_tag(parent_id, "best_trial", str(best_trial))
    client.log_artifacts(parent_id, str(folder))
