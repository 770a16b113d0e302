"""Validation on whole cases: the Dice that chooses the best epoch."""

from collections.abc import Sequence

import keras
import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from glioseg.data.patches import read_window
from glioseg.data.store import StoredCase
from glioseg.geometry import Shape3
from glioseg.labels import REGIONS, regions_from_labels
from glioseg.nets.losses import Loss


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
        loss: the training loss.
    """

    def __init__(self, cases: Sequence[StoredCase], *, spacing_mm: int, multiple: int, loss: Loss) -> None:
        super().__init__()
        self.cases, self.spacing_mm, self.loss = cases, spacing_mm, loss
        self.shape = common_shape(cases, spacing_mm=spacing_mm, multiple=multiple)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Score every case; the Dice is the mean over cases, then over regions."""
        losses, scores = zip(*(self._score(case) for case in self.cases), strict=True)
        dice = np.mean(scores, axis=0)
        logs["val_loss"], logs["val_dice"] = float(np.mean(losses)), float(dice.mean())
        logs |= {f"val_dice_{r.lower()}": float(d) for r, d in zip(REGIONS, dice, strict=True)}

    def _score(self, case: StoredCase) -> tuple[float, NDArray[np.float64]]:
        image, label = case.image(self.spacing_mm), case.label(self.spacing_mm)
        d, h, w = (-((s - n) // 2) for s, n in zip(self.shape, label.shape, strict=True))
        truth = regions_from_labels(read_window(label, (d, h, w), self.shape))[np.newaxis]
        window = read_window(image, (d, h, w), self.shape).astype(np.float32)
        answer = self.model.predict_on_batch(window[np.newaxis])
        loss = float(self.loss(keras.ops.convert_to_tensor(truth), keras.ops.convert_to_tensor(answer)))
        return loss, hard_dice(truth[0], answer[0] >= 0.5)


def common_shape(cases: Sequence[StoredCase], *, spacing_mm: int, multiple: int) -> Shape3:
    """The smallest grid, in voxels, that holds every case and is a multiple along each axis."""
    largest = np.max([case.label(spacing_mm).shape for case in cases], axis=0)
    d, h, w = (int(-(-n // multiple) * multiple) for n in largest)
    return (d, h, w)
