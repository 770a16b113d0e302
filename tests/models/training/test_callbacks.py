"""Validation scores whole cases on one padded grid."""

import numpy as np
import pytest
from keras import ops

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.callbacks import Validation, common_shape


def test_common_shape_holds_every_case(toys: list[StoredCase]) -> None:
    # Every toy is (13, 16, 11).
    assert common_shape(toys, spacing_mm=1, multiple=4) == (16, 16, 12)


class WholeTumourEverywhere:
    """Predicts WT with probability 1 and TC and ET with probability 0 in every voxel."""

    output = ("segmentation",)

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {"segmentation": np.ones((*images.shape[:-1], 1)) * np.array([1, 0, 0], np.float32)}


def test_validation_by_hand(toys: list[StoredCase]) -> None:
    validation = Validation(
        toys[:2],
        spacing_mm=1,
        multiple=2,
        target="regions",
        losses={"segmentation": lambda target, prediction: ops.mean(prediction)},
        weights={"segmentation": 0.5},
        metrics={"size": lambda target, prediction: ops.sum(ops.cast(target, "float32"))},
    )
    validation.set_model(WholeTumourEverywhere())
    validation.on_epoch_end(0, logs := {})
    # The regions of a toy are cubes of 6³, 4³ and 2³ voxels; the padded grid has 14 · 16 · 12.
    dice_wt = 2 * 6**3 / (6**3 + 14 * 16 * 12)
    assert logs == pytest.approx(
        {
            "val_loss": 0.5 / 3,
            "val_size": 6**3 + 4**3 + 2**3,
            "val_dice_wt": dice_wt,
            "val_dice_tc": 0,
            "val_dice_et": 0,
            "val_dice": dice_wt / 3,
        }
    )
