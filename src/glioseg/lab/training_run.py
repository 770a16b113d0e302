"""One training in MLflow: its run, and the model that it makes."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from glioseg.files import write_whole
from glioseg.lab.candidate import Source
from glioseg.lab.lineage import tags
from glioseg.lab.registry import publish
from glioseg.lab.tracking import (
    experiment_id,
    flatten,
    known_model,
    known_run,
    log_dataset,
    log_metrics,
    log_params,
)

IDENTITY = "run.json"


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

    def save(self, path: Path) -> None:
        """Write what later stages need to find this run again: `run_id` and `model_id`."""
        record = {"run_id": self.run_id, "model_id": self.model_id}
        write_whole(path, json.dumps(record, indent=2).encode() + b"\n")

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
