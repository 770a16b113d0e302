"""One training in MLflow: its run, and the model that it makes."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from glioseg.files import write_whole
from glioseg.lab.candidate import Source
from glioseg.lab.lineage import tags
from glioseg.lab.registry import publish
from glioseg.lab.tracking import (
    PARENT_TAG,
    experiment_id,
    flatten,
    known_model,
    known_run,
    log_dataset,
    log_metrics,
    log_params,
)

IDENTITY = "run.json"
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingRun:
    """The run of a training and the logged model that it will fill."""

    client: MlflowClient
    state: Path
    run_id: str
    model_id: str

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log a point of each curve, to the run and to the model."""
        log_metrics(self.client, self.run_id, logs, step=epoch, model_id=self.model_id)

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
        return str(self.client.create_run(experiment, tags=marks, run_name=f"fold {number}").info.run_id)

    def save(self, path: Path) -> None:
        """Write what later stages need to find this run again: `run_id` and `model_id`."""
        record = {"run_id": self.run_id, "model_id": self.model_id}
        write_whole(path, json.dumps(record, indent=2).encode() + b"\n")

    def result(self, numbers: Mapping[str, float]) -> None:
        """Log what came out, to the run and to the model."""
        log_metrics(self.client, self.run_id, numbers, model_id=self.model_id)

    def finish(self, source: Source, reports: Path) -> None:
        """Fill the model so that it can be called, keep the reports, and forget the kept state."""
        publish(source, model_id=self.model_id)
        self.client.log_artifacts(self.run_id, str(reports))
        shutil.rmtree(self.state, ignore_errors=True)


@contextmanager
def training_run(
    client: MlflowClient,
    *,
    state: Path,
    name: str,
    params: Mapping[str, object],
    cases: Mapping[str, int],
) -> Iterator[TrainingRun]:
    """Open the run of a training, the same one again where it was killed, and close it after.

    Args:
        client: as from `tracking.connect`.
        state: a folder that outlives a kill; the run's identity is kept in it.
        name: what a person reads in the list of runs.
        params: all settings, nested as in params.yaml.
        cases: as `tracking.log_dataset` takes them.
    """
    known = _known(client, state)
    marks = {"run_id": known["run_id"]} if known else {"run_name": name, "tags": tags("train")}
    experiment = experiment_id(client, "train")
    with mlflow.start_run(experiment_id=experiment, log_system_metrics=True, **marks) as active:
        run_id = active.info.run_id
        if known:
            training = TrainingRun(client, state, **known)
        else:
            log_params(client, run_id, params)
            log_dataset(client, run_id, cases=cases)
            texts = {key: str(value) for key, value in flatten(params).items()}
            model = client.create_logged_model(
                experiment, name="unet", source_run_id=run_id, params=texts, model_type="segmentation"
            )
            training = TrainingRun(client, state, run_id, model.model_id)
            training.save(state / IDENTITY)
        yield training


def _known(client: MlflowClient, state: Path) -> dict[str, str] | None:
    """The identity of the training that was interrupted, where the database still has it."""
    try:
        record: dict[str, str] = json.loads((state / IDENTITY).read_text())
    except OSError:
        return None
    whole = known_run(client, record["run_id"]) and known_model(client, record["model_id"])
    return record if whole else None
