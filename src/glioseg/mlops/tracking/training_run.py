"""One training in MLflow: its run, the same one again where it was killed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from glioseg.core.files import read_json, remove_whole, write_whole
from glioseg.mlops.tracking.fingerprints import tags
from glioseg.mlops.tracking.mlflow_runs import (
    PARENT_TAG,
    experiment_id,
    known_run,
    log_dataset,
    log_metrics,
    log_params,
)

IDENTITY = "run.json"
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingRun:
    """The run of a training, and the folder in which it can be found again."""

    client: MlflowClient
    state: Path
    run_id: str
    params: Mapping[str, object]
    cases: Sequence[Mapping[str, int]]

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log a point of each curve."""
        log_metrics(self.client, self.run_id, logs, step=epoch)

    def mark(self, facts: Mapping[str, str]) -> None:
        """Tag the run with what is known only now."""
        for name, value in facts.items():
            self.client.set_tag(self.run_id, name, value)

    @contextmanager
    def fold(self, number: int, *, of: int) -> Iterator[OnEpoch]:
        """Follow one fold of cross-validation in a nested run of its own; a single one in this run.

        Args:
            number: of the fold, from 0.
            of: how many there are.

        Yields:
            What `fit` tells each epoch.
        """
        if of == 1:
            yield self.epoch
            return
        run_id = self._fold_run(number)
        print(f"train: fold {number + 1}/{of}", flush=True)
        yield lambda epoch, logs: log_metrics(self.client, run_id, logs, step=epoch)
        self.client.set_terminated(run_id, "FINISHED")

    def _fold_run(self, number: int) -> str:
        """The fold's run: the one that it had before where the training goes on."""
        experiment = experiment_id(self.client, "train")
        mine = f"tags.`{PARENT_TAG}` = '{self.run_id}' AND tags.fold = '{number}'"
        found: list[Run] = self.client.search_runs([experiment], mine)
        if found:
            return str(found[0].info.run_id)
        marks = tags("train") | {PARENT_TAG: self.run_id, "fold": str(number)}
        run_id = str(self.client.create_run(experiment, tags=marks, run_name=f"fold {number}").info.run_id)
        self.describe(run_id, fold=number)
        return run_id

    def describe(self, run_id: str, *, fold: int) -> None:
        """Log what a run was given: all settings, and the cohort."""
        log_params(self.client, run_id, self.params)
        log_dataset(self.client, run_id, cases=self.cases[fold])

    def save(self, path: Path) -> None:
        """Write what it takes to find this run again: `run_id`."""
        write_whole(path, json.dumps({"run_id": self.run_id}, indent=2).encode() + b"\n")

    def finish(self, result: Mapping[str, float], reports: Path) -> None:
        """Log what came out, keep the reports, and forget the kept state."""
        log_metrics(self.client, self.run_id, result)
        self.client.log_artifacts(self.run_id, str(reports))
        remove_whole(self.state)


@contextmanager
def training_run(
    client: MlflowClient,
    *,
    state: Path,
    name: str,
    params: Mapping[str, object],
    cases: Sequence[Mapping[str, int]],
) -> Iterator[TrainingRun]:
    """Open the run of a training, the same one again where it was killed, and close it after.

    Args:
        client: as from `tracking.connect`.
        state: a folder that outlives a kill; the run's identity is kept in it.
        name: what a person reads in the list of runs.
        params: all settings, nested as in params.yaml.
        cases: of each fold, as `tracking.log_dataset` takes them.
    """
    known = _known(client, state)
    marks = {"run_id": known} if known else {"run_name": name, "tags": tags("train")}
    experiment = experiment_id(client, "train")
    with mlflow.start_run(experiment_id=experiment, log_system_metrics=True, **marks) as active:
        run_id = active.info.run_id
        training = TrainingRun(client, state, run_id, params, cases)
        if not known:
            training.describe(run_id, fold=0)
            training.save(state / IDENTITY)
        yield training


def _known(client: MlflowClient, state: Path) -> str | None:
    """The run of the training that was interrupted, where the database still has it."""
    try:
        run_id: str = read_json(state / IDENTITY)["run_id"]
    except OSError:
        return None
    return run_id if known_run(client, run_id) else None
