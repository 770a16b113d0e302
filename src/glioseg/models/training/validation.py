"""Validation on whole cases: the numbers that choose the best epoch."""

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.data.store.cropped_store import CroppedCase
from glioseg.models.networks.region_probabilities import region_probabilities
from glioseg.models.networks.targets import OUTCOMES, targets
from glioseg.models.training.losses import Loss
from glioseg.models.training.patch_sampling import read_window
from glioseg.params.sections import Target

Batch = Mapping[str, Shaped[NDArray, "b ..."]]


def hard_dice(
    truth: Bool[NDArray, "*grid regions"], answer: Bool[NDArray, "*grid regions"]
) -> NDArray[np.float64]:
    """Dice of each region of one case; 1 where truth and answer are both empty.

    >>> truth = np.array([[1, 0], [1, 0]], bool)
    >>> hard_dice(truth, np.array([[1, 0], [0, 0]], bool)).round(3).tolist()
    [0.667, 1.0]
    """
    axes = tuple(range(truth.ndim - 1))
    size = truth.sum(axes) + answer.sum(axes)
    overlap = (truth & answer).sum(axes)
    return np.where(size > 0, 2 * overlap / np.maximum(size, 1), 1.0)


class Validation(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds val_loss, val_dice and val_dice_wt, _tc, _et of whole cases to each epoch's logs.

    Every case is padded to one shape, so that the network is traced once.

    Args:
        cases: the validation cases.
        spacing_mm: resolution to read.
        multiple: the grid must be a multiple of this many voxels.
        target: what the network's channels stand for.
        losses: the training loss of each of the network's outputs, finest scale alone; in val_loss a case
            whose outcome is not known costs nothing, while the loss of that output leaves it out.
        weights: of the losses in val_loss.
        metrics: more numbers of truth and answer of the segmentation, as `val_<name>`, or where there are
            more outputs as `val_segmentation_<name>`.
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
        """Score every case; each number is the mean over cases, Dice then over regions."""
        rows = [self._score(case) for case in self.cases]
        logs |= {name: _mean([row[name] for row in rows]) for name in rows[0]}
        logs["val_dice"] = float(np.mean([logs[f"val_dice_{region.lower()}"] for region in REGIONS]))

    def _score(self, case: CroppedCase) -> dict[str, float]:
        image, label = case.open(self.spacing_mm)
        d, h, w = (-((s - n) // 2) for s, n in zip(self.shape, label.shape, strict=True))
        labels = read_window(label, (d, h, w), self.shape)
        window = read_window(image, (d, h, w), self.shape).astype(np.float32)
        # On several devices each gives an answer of its own: one is enough.
        answer = {k: v[:1] for k, v in self.model.predict_on_batch(window[np.newaxis]).items()}
        truth = targets(labels[np.newaxis], [case], outputs=self.losses, target=self.target)
        regions = region_probabilities(answer["segmentation"][0], self.target) >= 0.5
        dice = hard_dice(regions_from_labels(labels), regions)
        of = "segmentation_" if len(self.model.output) > 1 else ""  # as Keras names it in training
        return (
            self._losses(truth, answer)
            | {f"val_{of}{name}": _value(f, truth, answer) for name, f in self.metrics.items()}
            | {f"val_dice_{r.lower()}": float(d) for r, d in zip(REGIONS, dice, strict=True)}
        )

    def _losses(self, truth: Batch, answer: Batch) -> dict[str, float]:
        """val_loss, and where there is more than one output the loss of each that has a truth."""
        each = {
            name: _value(loss, truth, answer, name)
            for name, loss in self.losses.items()
            if name not in OUTCOMES or not np.isnan(truth[name]).all()
        }
        parts = {f"val_{name}_loss": each.get(name, np.nan) for name in self.losses}
        total = sum(self.weights[name] * value for name, value in each.items())
        return {"val_loss": total} | (parts if len(parts) > 1 else {})


def _value(function: Loss, truth: Batch, answer: Batch, name: str = "segmentation") -> float:
    return float(
        function(keras.ops.convert_to_tensor(truth[name]), keras.ops.convert_to_tensor(answer[name]))
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def common_shape(cases: Sequence[CroppedCase], *, spacing_mm: int, multiple: int) -> Shape3:
    """The smallest grid, in voxels, that holds every case and is a multiple along each axis."""
    largest = np.max([case.open(spacing_mm)[1].shape for case in cases], axis=0)
    d, h, w = (math.ceil(n / multiple) * multiple for n in largest.tolist())
    return (d, h, w)
