"""What a model says of one case: labels, how sure it is, volumes, and where it learned them, outcomes."""

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
NUMBERS = (
    *(f"{region.lower()}_{end}" for region in REGIONS for end in ("ml", "low_ml", "high_ml")),
    "interval_level",
    *(f"{place.lower()}_bits" for place in (BRAIN, *REGIONS)),
    *(f"{region.lower()}_confidence" for region in REGIONS),
    "grade_lgg",
    "survival_days",
)
"""Columns of a table of answers, as `Answer.numbers` fills them."""


@dataclass(frozen=True)
class RegionVolume:
    """The volume of a region in ml, and its prediction interval, `low_ml` to `high_ml`.

    `level`: the probability that the interval holds the true volume. All three are None where the model had
    too few calibration cases for an interval.
    """

    ml: float
    low_ml: float | None = None
    high_ml: float | None = None
    level: float | None = None


@dataclass(frozen=True)
class BrainProbabilities:
    """Calibrated probabilities of WT, TC and ET, for the voxels of the brain alone.

    `values`: a row a voxel; `brain`: where they are in the crop; `placement`: where the crop is.
    """

    values: Float32[NDArray, "voxels 3"]
    brain: Bool[NDArray, "e i x"]
    placement: Placement

    def on_grid(self) -> Float32[NDArray, "d h w 3"]:
        """All of them on the scan's own grid, 0 outside the brain: 12 bytes a voxel."""
        crop = np.zeros((*self.brain.shape, self.values.shape[1]), np.float32)
        crop[self.brain] = self.values
        return uncrop(crop, self.placement)

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
    lacked; `mean_bits`: the mean entropy of the brain and of each region that was found; `confidence`: the
    Dice that is to be expected of each region, empty where the model does not know; `doubt`: in words, why
    the confidence is low; `grade_lgg`: probability of a low-grade glioma, `survival_days`: predicted overall
    survival, both None where the network has no such output.
    """

    labels: UInt8[NDArray, "d h w"]
    entropy_bits: Float32[NDArray, "d h w"]
    volumes: dict[str, RegionVolume]
    probabilities: BrainProbabilities
    missing: tuple[str, ...] = ()
    mean_bits: dict[str, float] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    doubt: tuple[str, ...] = ()
    grade_lgg: float | None = None
    survival_days: float | None = None

    @property
    def interval_level(self) -> float | None:
        """The level of the volumes' intervals, the same for all regions; None where there are none."""
        return next((volume.level for volume in self.volumes.values()), None)

    @property
    def numbers(self) -> dict[str, float | None]:
        """What `NUMBERS` names, in its order; None is what is not known."""
        known: dict[str, float | None] = {
            f"{region.lower()}_{end}": value
            for region, volume in self.volumes.items()
            for end, value in asdict(volume).items()
        }
        known["interval_level"] = self.interval_level
        known |= {f"{place.lower()}_bits": bits for place, bits in self.mean_bits.items()}
        known |= {f"{region.lower()}_confidence": dice for region, dice in self.confidence.items()}
        known |= {"grade_lgg": self.grade_lgg, "survival_days": self.survival_days}
        return {name: known.get(name) for name in NUMBERS}


def percent(level: float) -> str:
    """The level of an interval, as text.

    >>> percent(7 / 8)
    '88 %'
    """
    return f"{100 * level:.0f} %"


Ask = Callable[[Mapping[str, Volume]], Answer]
"""Answers on the scan's own grid for a volume of each of some modalities."""


@runtime_checkable  # tests check annotations while they run
class Model(Protocol):
    """What can be asked: a loaded model, or one that loads where its answers are asked for."""

    @property
    def answer(self) -> Ask:
        """What answers."""
        ...
