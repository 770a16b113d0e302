"""The prediction for one case: labels, their uncertainty, volumes, expected quality, and outcomes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.core.nifti import Volume
from glioseg.data.store.cropping import Placement, crop_labels, uncrop

BRAIN = "brain"
NUMERIC_COLUMNS = (
    *(f"{region.lower()}_{end}" for region in REGIONS for end in ("ml", "low_ml", "high_ml")),
    "interval_level",
    *(f"{place.lower()}_bits" for place in (BRAIN, *REGIONS)),
    *(f"{region.lower()}_confidence" for region in REGIONS),
    "grade_lgg",
    "survival_days",
)
"""Numeric columns of a table of predictions; `Prediction.numeric_values` fills them."""


@dataclass(frozen=True)
class RegionVolume:
    """The volume of a region in ml, and its prediction interval, `low_ml` to `high_ml`.

    `level`: the probability that the interval contains the true volume. All three are None where the model
    had too few calibration cases for an interval. `reason`: why the region cannot be judged; then all numbers
    are None.
    """

    ml: float | None
    low_ml: float | None = None
    high_ml: float | None = None
    level: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class BrainProbabilities:
    """Calibrated probabilities of WT, TC and ET for the voxels of the brain alone.

    `values`: a row for each voxel; `brain`: the mask of these voxels in the crop; `placement`: of the crop in
    the scan.
    """

    values: Float32[NDArray, "voxels 3"]
    brain: Bool[NDArray, "e i x"]
    placement: Placement

    def on_grid(self) -> Float32[NDArray, "d h w 3"]:
        """The probabilities on the scan's own grid, 0 outside the brain: 12 bytes for each voxel."""
        crop = np.zeros((*self.brain.shape, self.values.shape[1]), np.float32)
        crop[self.brain] = self.values
        return uncrop(crop, self.placement)

    def same_voxels(self, labels: UInt8[NDArray, "d h w"]) -> UInt8[NDArray, "voxels"]:
        """The labels of the brain's voxels, in the order of `values`.

        Args:
            labels: labels on the scan's own grid.
        """
        same: NDArray[np.uint8] = crop_labels(labels, self.placement)[self.brain]
        return same


@dataclass(frozen=True)
class Prediction:
    """The prediction for a case, on the scan's own grid.

    `labels`: dense (`Label`); `entropy_bits`: of each voxel's four label probabilities, 0 (certain) to 2;
    `volumes`: by region; `probabilities`: calibrated; `missing`: modalities that the scan lacks; `mean_bits`:
    the mean entropy of the brain and of each predicted region; `confidence`: the expected Dice of each
    region, None where it is not known, empty for a model without a quality estimator;
    `low_confidence_reasons`: as text; `calibrated_on`: "synthetic" or "real", the cases behind intervals and
    confidence, None where this is not known; `grade_lgg`: probability of a low-grade glioma, `survival_days`:
    predicted overall survival, both None where the network has no such output.
    """

    labels: UInt8[NDArray, "d h w"]
    entropy_bits: Float32[NDArray, "d h w"]
    volumes: dict[str, RegionVolume]
    probabilities: BrainProbabilities
    missing: tuple[str, ...] = ()
    mean_bits: dict[str, float] = field(default_factory=dict)
    confidence: dict[str, float | None] = field(default_factory=dict)
    low_confidence_reasons: tuple[str, ...] = ()
    calibrated_on: str | None = None
    grade_lgg: float | None = None
    survival_days: float | None = None

    @property
    def interval_level(self) -> float | None:
        """The level of the volume intervals, the same for all regions; None without intervals."""
        return next((volume.level for volume in self.volumes.values() if volume.level is not None), None)

    @property
    def numeric_values(self) -> dict[str, float | None]:
        """A value for each of `NUMERIC_COLUMNS`; None where the value is not known."""
        known: dict[str, float | None] = {
            f"{region.lower()}_{end}": value
            for region, volume in self.volumes.items()
            for end, value in asdict(volume).items()
        }
        known["interval_level"] = self.interval_level
        known |= {f"{place.lower()}_bits": bits for place, bits in self.mean_bits.items()}
        known |= {f"{region.lower()}_confidence": dice for region, dice in self.confidence.items()}
        known |= {"grade_lgg": self.grade_lgg, "survival_days": self.survival_days}
        return {name: known.get(name) for name in NUMERIC_COLUMNS}


def percent(level: float) -> str:
    """The level of an interval, as text.

    >>> percent(7 / 8)
    '88 %'
    """
    return f"{100 * level:.0f} %"


Predict = Callable[[Mapping[str, Volume]], Prediction]
"""Predicts on the scan's own grid, from a volume of each available modality."""


@runtime_checkable  # tests check annotations at run time
class CaseModel(Protocol):
    """Interface of a model that predicts a case, already loaded or to be loaded at the first prediction."""

    @property
    def predict(self) -> Predict:
        """The function that predicts a case."""
        ...
