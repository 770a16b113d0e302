"""Stand-in networks of one line of arithmetic, and settings for them."""

from collections.abc import Callable

import numpy as np

from glioseg.models.inference.model_settings import Settings, VolumeIntervals
from glioseg.models.inference.quality_estimation import QualityEstimator

IDENTITY_ESTIMATOR = QualityEstimator(
    found=((0.0, 1.0),) * 3, empty=((-9.0, 0.0),) * 3, out_of_distribution=None
)
"""Leaves the expected Dice of a non-empty region unchanged, and estimates 0 for an empty one."""

INTERVALS = VolumeIntervals((0.4, 0.4, 0.4), level=0.875, cases=7)


class Formula:
    """A stand-in for a network: its output is a formula of the image, and it records its inputs' grids."""

    def __init__(self, segmentation: Callable, **outcomes: float):
        self.segmentation, self.outcomes = segmentation, outcomes
        self.shapes: list[tuple[int, ...]] = []

    def predict_on_batch(self, batch):
        self.shapes.append(batch.shape[1:4])
        regions = np.asarray(self.segmentation(batch), np.float32)
        outcomes = {name: np.full((1, 1), value, np.float32) for name, value in self.outcomes.items()}
        return {"segmentation": regions} | outcomes


def everywhere(batch):
    """Whole tumour has probability 1, core 0.5, enhancing tumour 0."""
    return np.broadcast_to(np.float32([1.0, 0.5, 0.0]), (*batch.shape[:4], 3))


def make_settings(**changes) -> Settings:
    """Settings of a small network with 8³ windows; keyword arguments override them."""
    given = {
        "spacing_mm": 1,
        "multiple": 2,
        "margin_vox": 1,
        "target": "regions",
        "base_filters": 2,
        "modality_dropout": 0.0,
        "window_shape": (8, 8, 8),
        "overlap": 0.5,
        "memory_gb": 5.0,
        "mirror": False,
    }
    return Settings(**given | changes)
