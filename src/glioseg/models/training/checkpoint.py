"""The state from which an interrupted training resumes exactly, in one file that is replaced atomically."""

import io
import json
import math
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from glioseg.core.files import write_atomic
from glioseg.models.training.distributed import is_main_host
from glioseg.params.sections import Monitor

STATE_FILE = "state.npz"
OnEpoch = Callable[[int, dict[str, float]], None]
"""Receives each epoch (from 0) and its logs."""
Arrays = list[Shaped[NDArray, "..."]]


@dataclass
class TrainingProgress:
    """The epochs of a training so far, and its best weights.

    `fingerprint`: hash of the set-up; `monitor`: name of the logged number that chooses the best epoch, the
    lowest loss or the highest Dice, or `last` for the last epoch with a finite loss; `history`: the logs of
    each epoch; `best_epoch`: the best epoch (from 0, -1 before the first); `best_weights`: the network's
    weights after that epoch.
    """

    fingerprint: str
    monitor: Monitor
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_weights: Arrays = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def monitored(self) -> str:
        """Name of the logged number that must be finite in the best epoch."""
        return "loss" if self.monitor == "last" else self.monitor

    def out_of_patience(self, patience: int) -> bool:
        """Whether none of the last `patience` epochs was an improvement."""
        return self.epoch - 1 - self.best_epoch >= patience

    def add_epoch(self, logs: dict[str, float], weights: Arrays) -> None:
        """Append an epoch; store its weights if it is the best so far."""
        self.history.append(logs)
        if self.monitor == "last":
            best = math.isfinite(logs[self.monitored])
        else:
            best = self._score(logs) > self._best_score
        if best:
            self.best_epoch, self.best_weights = self.epoch - 1, weights

    @property
    def _best_score(self) -> float:
        return self._score(self.history[self.best_epoch]) if self.best_epoch >= 0 else -math.inf

    def _score(self, logs: dict[str, float]) -> float:
        """Score of an epoch, higher is better; minus infinity if the monitored number is not finite."""
        score = -logs[self.monitor] if self.monitor == "val_loss" else logs[self.monitor]
        return score if math.isfinite(score) else -math.inf


def copy_values(variables: Sequence[keras.Variable]) -> Arrays:
    """Copies of the values of variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign_values(variables: Sequence[keras.Variable], arrays: Arrays) -> None:
    """Set variables to values, in order."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def mutable_variables(model: keras.Model) -> list[keras.Variable]:
    """All variables that a training step changes: weights, random state of dropout, optimizer state."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def save(folder: Path, model: keras.Model, progress: TrainingProgress) -> None:
    """Write the state of the training of a compiled model."""
    record = {
        "fingerprint": progress.fingerprint,
        "history": progress.history,
        "best_epoch": progress.best_epoch,
    }
    arrays = {f"running{i}": a for i, a in enumerate(copy_values(mutable_variables(model)))}
    arrays |= {f"best{i}": a for i, a in enumerate(progress.best_weights)}
    content = io.BytesIO()
    np.savez(content, record=np.array(json.dumps(record)), allow_pickle=False, **arrays)
    write_atomic(folder / STATE_FILE, content.getvalue())


def restore(folder: Path, model: keras.Model, start: TrainingProgress) -> TrainingProgress:
    """Load the state of an interrupted training into a compiled model.

    Args:
        folder: folder of the state.
        model: compiled; changed only if there is a state with the fingerprint of `start`.
        start: the progress of a new training.

    Returns:
        The stored progress, or `start` if there is no readable state of this set-up.
    """
    try:
        with np.load(folder / STATE_FILE, allow_pickle=False) as stored:
            record = json.loads(stored["record"].item())
            if record["fingerprint"] != start.fingerprint:
                return start
            running, best = _numbered(stored, "running"), _numbered(stored, "best")
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return start
    assign_values(mutable_variables(model), running)
    return replace(start, history=record["history"], best_epoch=record["best_epoch"], best_weights=best)


def _numbered(stored: np.lib.npyio.NpzFile, prefix: str) -> Arrays:
    count = sum(name.startswith(prefix) for name in stored.files)
    return [stored[f"{prefix}{i}"] for i in range(count)]


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Records each epoch and the best weights, saves the state, and stops training early.

    Keras' own callbacks cannot resume exactly. `BackupAndRestore` writes weights and epoch number as two
    files without a fingerprint of the set-up; `EarlyStopping` loses its best weights and patience count.

    Args:
        progress: progress of the training; updated in place.
        state: folder of the state.
        patience: number of epochs without improvement after which training stops.
        on_epoch: called with each epoch and its logs before the state is saved; may raise.
    """

    def __init__(self, progress: TrainingProgress, *, state: Path, patience: int, on_epoch: OnEpoch) -> None:
        super().__init__()
        self.progress, self.state = progress, state
        self.patience, self.on_epoch = patience, on_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the timer of the epoch."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Record, call `on_epoch`, save; an interruption between the last two repeats the epoch."""
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["seconds"] = time.monotonic() - self._started
        self.progress.add_epoch(dict(logs), copy_values(self.model.weights))
        self.on_epoch(epoch, dict(logs))
        if is_main_host():
            save(self.state, self.model, self.progress)
        self.model.stop_training = self.progress.out_of_patience(self.patience)
