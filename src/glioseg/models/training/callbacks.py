"""Keras callbacks: validation on whole cases after each epoch, and progress messages."""

import math
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from glioseg.core.dice import dice_per_channel
from glioseg.core.geometry import Shape3
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.progress import LOG_EVERY_S
from glioseg.data.store.cropped_cases import CroppedCase
from glioseg.models.networks.outputs import OUTCOMES, region_probabilities, training_targets
from glioseg.models.training.losses import Loss
from glioseg.models.training.patch_sampling import read_window
from glioseg.params.sections import Target

Batch = Mapping[str, Shaped[NDArray, "b ..."]]


class Validation(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds val_loss, val_dice and val_dice_wt, _tc, _et of whole cases to the logs of each epoch.

    Every case is padded to the same shape, so that the network is traced once.

    Args:
        cases: the validation cases.
        spacing_mm: resolution of the cases.
        multiple: the padded grid is a multiple of this many voxels along each axis.
        target: meaning of the segmentation's channels, `network.target`.
        losses: the training loss of each output, without the coarser scales. A case with an unknown outcome
            adds 0 to val_loss, and is left out of the mean of that output's loss.
        weights: weights of the losses in val_loss.
        metrics: further metrics of the segmentation, logged as `val_<name>`, or as `val_segmentation_<name>`
            if the network has several outputs.
    """

    def __init__(
        self,
        cases: Sequence[CroppedCase],
        *,
        spacing_mm: int,
        multiple: int,
        target: Target,
        losses: Mapping[str, Loss],
        weights: Mapping[str, float],
        metrics: Mapping[str, Loss],
    ) -> None:
        super().__init__()
        self.cases, self.spacing_mm, self.target = cases, spacing_mm, target
        self.losses, self.weights, self.metrics = losses, weights, metrics
        self.shape = common_shape(cases, spacing_mm=spacing_mm, multiple=multiple)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Add the means over cases to the logs; val_dice is the mean of the regions' Dice."""
        rows = [self._score(case) for case in self.cases]
        logs |= {name: _mean([row[name] for row in rows]) for name in rows[0]}
        logs["val_dice"] = float(np.mean([logs[f"val_dice_{region.lower()}"] for region in REGIONS]))

    def _score(self, case: CroppedCase) -> dict[str, float]:
        image, label = case.open(self.spacing_mm)
        d, h, w = (-((s - n) // 2) for s, n in zip(self.shape, label.shape, strict=True))
        labels = read_window(label, (d, h, w), self.shape)
        window = read_window(image, (d, h, w), self.shape).astype(np.float32)
        # All devices return the same prediction, so the first is used.
        prediction = {k: v[:1] for k, v in self.model.predict_on_batch(window[np.newaxis]).items()}
        targets = training_targets(labels[np.newaxis], [case], outputs=self.losses, target=self.target)
        regions = region_probabilities(prediction["segmentation"][0], self.target) >= 0.5
        dice = dice_per_channel(regions_from_labels(labels), regions)
        prefix = "segmentation_" if len(self.model.output) > 1 else ""  # as Keras names metrics in training
        return (
            self._losses(targets, prediction)
            | {f"val_{prefix}{name}": _value(f, targets, prediction) for name, f in self.metrics.items()}
            | {f"val_dice_{r.lower()}": float(d) for r, d in zip(REGIONS, dice, strict=True)}
        )

    def _losses(self, targets: Batch, prediction: Batch) -> dict[str, float]:
        """val_loss, and with several outputs the loss of each; NaN for an unknown outcome."""
        known = {
            name: _value(loss, targets, prediction, name)
            for name, loss in self.losses.items()
            if name not in OUTCOMES or not np.isnan(targets[name]).all()
        }
        by_output = {f"val_{name}_loss": known.get(name, np.nan) for name in self.losses}
        total = sum(self.weights[name] * value for name, value in known.items())
        return {"val_loss": total} | (by_output if len(by_output) > 1 else {})


def _value(function: Loss, targets: Batch, prediction: Batch, name: str = "segmentation") -> float:
    return float(
        function(keras.ops.convert_to_tensor(targets[name]), keras.ops.convert_to_tensor(prediction[name]))
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN if all are."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def common_shape(cases: Sequence[CroppedCase], *, spacing_mm: int, multiple: int) -> Shape3:
    """The smallest grid, in voxels, that holds every case and is a multiple of `multiple` along each axis."""
    largest = np.max([case.open(spacing_mm)[1].shape for case in cases], axis=0)
    d, h, w = (math.ceil(n / multiple) * multiple for n in largest.tolist())
    return (d, h, w)


class ProgressLines(keras.callbacks.Callback):  # type: ignore[misc]
    """Prints a line after each epoch, and a line every few seconds within a long epoch.

    Args:
        epochs: number of epochs of the training.
        steps: number of steps in an epoch.
    """

    def __init__(self, *, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self._first: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Store the number and the start of the epoch."""
        self._epoch, self._last = epoch, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Print a line if the last line was printed at least `LOG_EVERY_S` seconds ago."""
        now, done = time.monotonic(), self._epoch * self.steps + batch + 1
        if self._first is None:  # the first step compiles, so its duration is not representative
            self._first, self._last = (now, done), now
        if now - self._last >= LOG_EVERY_S:
            self._last = now
            self._print(f"step {batch + 1}/{self.steps}, loss {logs['loss']:.3f}", done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print loss, Dice and duration of the epoch."""
        regions = ", ".join(f"{r} {logs[f'val_dice_{r.lower()}']:.3f}" for r in REGIONS)
        text = f"loss {logs['loss']:.3f}, val_dice {logs['val_dice']:.3f} ({regions})"
        self._print(f"{text}, {logs['seconds']:.1f} s", (epoch + 1) * self.steps)

    def _print(self, text: str, done: int) -> None:
        assert self._first is not None
        start, first_step = self._first
        step_s = (time.monotonic() - start) / max(done - first_step, 1)
        left_s = step_s * (self.epochs * self.steps - done)
        print(f"epoch {self._epoch + 1}/{self.epochs}: {text}, about {left_s:.0f} s left", flush=True)
