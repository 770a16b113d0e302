"""What a model says of one case: labels, how sure it is, volumes, and where it learned them, outcomes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from glioseg.data.crop import Placement, crop_labels

DAYS_PER_YEAR = 365.25
OUTCOMES = ("grade", "survival")
"""What a network can say of a whole case."""


@dataclass(frozen=True)
class RegionVolume:
    """The volume of a region in ml, and the ends of its interval."""

    ml: float
    low_ml: float
    high_ml: float


@dataclass(frozen=True)
class BrainProbabilities:
    """Calibrated probabilities of WT, TC and ET, for the voxels of the brain alone.

    `values`: a row a voxel; `brain`: where they are in the crop; `placement`: where the crop is.
    """

    values: Float32[NDArray, "voxels 3"]
    brain: Bool[NDArray, "e i x"]
    placement: Placement

    def same_voxels(self, labels: UInt8[NDArray, "d h w"]) -> UInt8[NDArray, "voxels"]:
        """The labels of the same voxels, in the same order.

        Args:
            labels: on the scan's own grid.
        """
        same: NDArray[np.uint8] = crop_labels(labels, self.placement)[self.brain]
        return same


@dataclass(frozen=True)
class Answer:
    """A segmented case, on the scan's own grid.

    `labels`: dense (`Label`); `entropy_bits`: of each voxel's four label probabilities, 0 (sure) to 2;
    `volumes`: by region; `probabilities`: what both come from; `missing`: modalities that the scan
    lacked; `grade_lgg`: probability of a low-grade glioma, `survival_days`: predicted overall survival,
    both None where the network has no such output.
    """

    labels: UInt8[NDArray, "d h w"]
    entropy_bits: Float32[NDArray, "d h w"]
    volumes: dict[str, RegionVolume]
    probabilities: BrainProbabilities
    missing: tuple[str, ...] = ()
    grade_lgg: float | None = None
    survival_days: float | None = None
