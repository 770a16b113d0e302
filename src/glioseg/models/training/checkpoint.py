"""What training needs to go on after a kill, in one file that is written whole or not at all."""

import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from glioseg.core.files import write_whole
from glioseg.params.sections import Monitor

FILE = "state.npz"
Arrays = list[Shaped[NDArray, "..."]]


@dataclass
class Progression:
    """How far training has come.

    `fingerprint` stands for the set-up; `monitor` is the number of an epoch's logs that chooses the
    best one (a loss should be small, a Dice large); `history` has one record an epoch; `best_epoch` is
    the best epoch (from 0), and `best` the network's weights after it.
    """

    fingerprint: str
    monitor: Monitor
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best: Arrays = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def stale(self, patience: int) -> bool:
        """Whether so many epochs brought nothing better."""
        return self.epoch - 1 - self.best_epoch >= patience

    def record(self, logs: dict[str, float], weights: Arrays) -> None:
        """Add an epoch, and keep its weights if it is the best so far."""
        self.history.append(logs)
        if self._score(logs) > self._best_score:
            self.best_epoch, self.best = self.epoch - 1, weights

    @property
    def _best_score(self) -> float:
        return self._score(self.history[self.best_epoch]) if self.best_epoch >= 0 else -math.inf

    def _score(self, logs: dict[str, float]) -> float:
        """The higher the better; a number that is not finite is never the best."""
        score = -logs[self.monitor] if self.monitor == "val_loss" else logs[self.monitor]
        return score if math.isfinite(score) else -math.inf


def values(variables: Sequence[keras.Variable]) -> Arrays:
    """Copies of variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[keras.Variable], arrays: Arrays) -> None:
    """Put values into variables, in order."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def running_variables(model: keras.Model) -> list[keras.Variable]:
    """Everything that a training step changes: weights, dropout's random state, the optimizer."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def save(folder: Path, model: keras.Model, progression: Progression) -> None:
    """Write the state of a compiled model's training."""
    record = {
        "fingerprint": progression.fingerprint,
        "history": progression.history,
        "best_epoch": progression.best_epoch,
    }
    arrays = {f"running{i}": a for i, a in enumerate(values(running_variables(model)))}
    arrays |= {f"best{i}": a for i, a in enumerate(progression.best)}
    content = io.BytesIO()
    np.savez(content, record=np.array(json.dumps(record)), allow_pickle=False, **arrays)
    write_whole(folder / FILE, content.getvalue())


def restore(folder: Path, model: keras.Model, start: Progression) -> Progression:
    """Bring a compiled model back to where training was killed.

    Args:
        folder: of the state.
        model: compiled; changed where there is a state of this set-up.
        start: of a training that has not begun.

    Returns:
        How far it had come: `start` where there is no state, or one of another set-up.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as stored:
            record = json.loads(stored["record"].item())
            if record["fingerprint"] != start.fingerprint:
                return start
            running, best = _numbered(stored, "running"), _numbered(stored, "best")
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return start
    assign(running_variables(model), running)
    return replace(start, history=record["history"], best_epoch=record["best_epoch"], best=best)


def _numbered(stored: np.lib.npyio.NpzFile, prefix: str) -> Arrays:
    count = sum(name.startswith(prefix) for name in stored.files)
    return [stored[f"{prefix}{i}"] for i in range(count)]
