"""The MLflow run of a training, which is continued after an interruption, and its learning curves."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run

from glioseg.core.files import read_json, remove_folder_atomic, write_atomic
from glioseg.mlops.tracking.mlflow_runs import (
    PARENT_TAG,
    experiment_id,
    has_run,
    log_dataset,
    log_metrics,
    log_params,
)
from glioseg.mlops.tracking.run_tags import run_tags
from glioseg.params import Params
from glioseg.params.presets import CUSTOM

RUN_FILE = "run.json"
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingRun:
    """The run of a training; `state` is the folder from which an interrupted training continues."""

    client: MlflowClient
    state: Path
    run_id: str
    params: Mapping[str, object]
    cases: Sequence[Mapping[str, int]]

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log a point of each curve."""
        log_metrics(self.client, self.run_id, logs, step=epoch)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags that are known only once training runs."""
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, value)

    @contextmanager
    def fold(self, number: int, *, folds: int) -> Iterator[OnEpoch]:
        """Log a fold of cross-validation to a nested run; any other training to this run.

        Args:
            number: of the training, from 0; the folds come first.
            folds: number of folds, 0 without cross-validation.

        Yields:
            A function that `fit` calls after each epoch.
        """
        if number >= folds:
            yield self.epoch
            return
        run_id = self._fold_run(number)
        print(f"train: fold {number + 1}/{folds}", flush=True)
        yield lambda epoch, logs: log_metrics(self.client, run_id, logs, step=epoch)
        self.client.set_terminated(run_id, "FINISHED")

    def _fold_run(self, number: int) -> str:
        """The fold's run; a continued training uses the earlier run of the fold."""
        experiment = experiment_id(self.client, "train")
        own = f"tags.`{PARENT_TAG}` = '{self.run_id}' AND tags.fold = '{number}'"
        found: list[Run] = self.client.search_runs([experiment], own)
        if found:
            return str(found[0].info.run_id)
        tags = run_tags("train") | {PARENT_TAG: self.run_id, "fold": str(number)}
        run_id = str(self.client.create_run(experiment, tags=tags, run_name=f"fold {number}").info.run_id)
        self.describe(run_id, fold=number)
        return run_id

    def describe(self, run_id: str, *, fold: int) -> None:
        """Log the inputs of a run: all settings, and the cohort."""
        log_params(self.client, run_id, self.params)
        log_dataset(self.client, run_id, cases=self.cases[fold])

    def save(self, path: Path) -> None:
        """Write the `run_id` to a file, to find this run again."""
        write_atomic(path, json.dumps({"run_id": self.run_id}, indent=2).encode() + b"\n")

    def finish(self, result: Mapping[str, float], reports: Path) -> None:
        """Log the result and the reports, and delete the state."""
        log_metrics(self.client, self.run_id, result)
        self.client.log_artifacts(self.run_id, str(reports))
        remove_folder_atomic(self.state)


@contextmanager
def training_run(
    client: MlflowClient,
    *,
    state: Path,
    name: str,
    params: Mapping[str, object],
    cases: Sequence[Mapping[str, int]],
) -> Iterator[TrainingRun]:
    """Open the run of a training, or its earlier run after an interruption, and close it after the block.

    Args:
        client: from `mlflow_runs.connect`.
        state: the folder from which an interrupted training continues; it stores the run's ID.
        name: of the run, as MLflow lists it.
        params: all settings, nested as in params.yaml.
        cases: of each training, for `mlflow_runs.log_dataset`; this run describes those of the last one.
    """
    interrupted = _interrupted_run(client, state)
    options = {"run_id": interrupted} if interrupted else {"run_name": name, "tags": run_tags("train")}
    experiment = experiment_id(client, "train")
    with mlflow.start_run(experiment_id=experiment, log_system_metrics=True, **options) as active:
        run_id = active.info.run_id
        training = TrainingRun(client, state, run_id, params, cases)
        if not interrupted:
            training.describe(run_id, fold=-1)
            training.save(state / RUN_FILE)
        yield training


def run_name(params: Params, *, preset: str, key: str) -> str:
    """A name that differs if settings, data or code differ.

    It begins with the preset and the start of the training's key, a hash of all that determines the weights,
    since MLflow's lists and legends show about twenty letters; filters × depth at a spacing follow.
    """
    network, train = params.network, params.train
    kind = preset if preset != CUSTOM else network.architecture
    shape = f"{network.base_filters}×{network.depth}, {network.spacing_mm} mm"
    return f"{kind} {key[:4]}, {shape}, {train.epochs} epochs, seed {train.seed}"


def _interrupted_run(client: MlflowClient, state: Path) -> str | None:
    """The run of the interrupted training, if the database still has it."""
    try:
        run_id: str = read_json(state / RUN_FILE)["run_id"]
    except OSError:
        return None
    return run_id if has_run(client, run_id) else None


def draw_learning_curves(history: pd.DataFrame, path: Path) -> None:
    """Draw the losses and the validation Dice of each region by epoch; folds share colours.

    Args:
        history: columns fold, epoch, loss, val_loss and val_dice*, one row per epoch and fold.
        path: the PNG file to write.
    """
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, title, columns in (
        (left, "loss", ["loss", "val_loss"]),
        (right, "validation Dice", [name for name in history if str(name).startswith("val_dice")]),
    ):
        for number, column in enumerate(columns):
            for fold, part in history.groupby("fold"):
                label = column if fold == 0 else None
                axes.plot(part["epoch"], part[column], f"C{number}.-", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
