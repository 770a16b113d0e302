"""What happens at the end of an epoch: bookkeeping, and a line of progress."""

import time
from collections.abc import Callable
from pathlib import Path

import keras

from glioseg.core.labels import REGIONS
from glioseg.core.progress import LOG_EVERY_S
from glioseg.models.training import checkpoint
from glioseg.models.training.multi_host import leads

OnEpoch = Callable[[int, dict[str, float]], None]


class Bookkeeping(keras.callbacks.Callback):  # type: ignore[misc]
    """Records each epoch, keeps the best weights, saves the state, and stops when no better comes.

    Args:
        progression: how far training has come; updated.
        state: folder of the state.
        patience: epochs without a better one before training stops.
        on_epoch: told each epoch (from 0) and its logs, before the state is saved; may raise.
    """

    def __init__(
        self, progression: checkpoint.Progression, *, state: Path, patience: int, on_epoch: OnEpoch
    ) -> None:
        super().__init__()
        self.progression, self.state = progression, state
        self.patience, self.on_epoch = patience, on_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the epoch's clock."""
        self._begun = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Record, tell, save: a kill between the last two tells an epoch twice, and loses none."""
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["seconds"] = time.monotonic() - self._begun
        self.progression.record(dict(logs), checkpoint.values(self.model.weights))
        self.on_epoch(epoch, dict(logs))
        if leads():
            checkpoint.save(self.state, self.model, self.progression)
        self.model.stop_training = self.progression.stale(self.patience)


class ProgressLines(keras.callbacks.Callback):  # type: ignore[misc]
    """Prints one line an epoch, and one every few seconds within a long epoch.

    Args:
        epochs: epochs in all.
        steps: steps an epoch.
    """

    def __init__(self, *, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self._first: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remember which epoch runs."""
        self._epoch, self._last = epoch, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Tick, but not more often than `LOG_EVERY_S`."""
        now, done = time.monotonic(), self._epoch * self.steps + batch + 1
        if self._first is None:  # the first step compiles: it says nothing about the others
            self._first, self._last = (now, done), now
        if now - self._last >= LOG_EVERY_S:
            self._last = now
            self._say(f"step {batch + 1}/{self.steps}, loss {logs['loss']:.3f}", done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Say how the epoch went."""
        regions = ", ".join(f"{r} {logs[f'val_dice_{r.lower()}']:.3f}" for r in REGIONS)
        text = f"loss {logs['loss']:.3f}, val_dice {logs['val_dice']:.3f} ({regions})"
        self._say(f"{text}, {logs['seconds']:.1f} s", (epoch + 1) * self.steps)

    def _say(self, text: str, done: int) -> None:
        assert self._first is not None
        begun, before = self._first
        pace = (time.monotonic() - begun) / max(done - before, 1)
        left_s = pace * (self.epochs * self.steps - done)
        print(f"epoch {self._epoch + 1}/{self.epochs}: {text}, about {left_s:.0f} s left", flush=True)
