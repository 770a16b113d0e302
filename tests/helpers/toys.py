"""Small stored cases that a network learns in seconds, and settings for them."""

from pathlib import Path

import numpy as np

from glioseg.core.geometry import Box
from glioseg.core.labels import Label
from glioseg.core.nifti import Grid
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.data.store.cropped_store import write_case
from glioseg.data.store.cropping import Placement
from glioseg.params.sections import Network, Train

SHAPE = (13, 16, 11)
TRAIN = {
    "seed": 5,
    "outputs": ("segmentation",),
    "epochs": 4,
    "steps_per_epoch": 3,
    "batch_size": 2,
    "patches_per_case": 1,
    "phantom_share": 0.0,
    "devices": "auto",
    "patch_shape": (8, 8, 8),
    "tumour_fraction": 0.5,
    "loss": "dice_ce",
    "batch_dice": False,
    "cross_entropy_weight": 1.0,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "augmentation_strength": 0.5,
    "modality_dropout": 0.0,
    "monitor": "val_dice",
    "patience": 10,
    "folds": 1,
    "ensemble": True,
    "init_from": None,
    "tensorboard": False,
    "precision": "float32",
}
NETWORK = {
    "spacing_mm": 1,
    "architecture": "seed",
    "base_filters": 2,
    "depth": 2,
    "dropout": 0.2,
    "heads": "plain",
    "deep_supervision": "sum",
    "target": "regions",
}


def make_train(**changes: object) -> Train:
    return Train.model_validate(TRAIN | changes)


def make_network(**changes: object) -> Network:
    return Network.model_validate(NETWORK | changes)


def write_toy(folder: Path, number: int) -> StoredCase:
    """A case of noise with a tumour at a random place, whose intensity is its label.

    Odd numbers are low-grade gliomas with 500 days of survival, even numbers high-grade ones with 100 days.
    """
    rng = np.random.default_rng(number)
    label = np.zeros(SHAPE, np.uint8)
    d, h, w = (int(rng.integers(4, n - 4)) for n in SHAPE)
    label[d - 3 : d + 3, h - 3 : h + 3, w - 3 : w + 3] = Label.ED
    label[d - 2 : d + 2, h - 2 : h + 2, w - 2 : w + 2] = Label.NCR
    label[d - 1 : d + 1, h - 1 : h + 1, w - 1 : w + 1] = Label.ET
    image = rng.normal(0, 0.1, (*SHAPE, 4)).astype(np.float32) + label[..., np.newaxis]
    placement = Placement(Grid(SHAPE, np.eye(4)), Box((0, 0, 0), SHAPE))
    stored = write_case(folder / f"toy{number}", image, label, placement, spacings_mm=(1,))
    return StoredCase(stored.folder, *(("LGG", 500.0) if number % 2 else ("HGG", 100.0)))
