"""What a model says of one case: labels, how sure it is, volumes, and where it learned them, outcomes."""

from dataclasses import dataclass

from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

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
class Answer:
    """A segmented case, on the scan's own grid.

    `labels`: dense (`Label`); `entropy_bits`: of each voxel's four label probabilities, 0 (sure) to 2;
    `volumes`: by region; `missing`: modalities that the scan lacked; `grade_lgg`: probability of a
    low-grade glioma, `survival_days`: predicted overall survival, both None where the network has no
    such output.
    """

    labels: UInt8[NDArray, "d h w"]
    entropy_bits: Float32[NDArray, "d h w"]
    volumes: dict[str, RegionVolume]
    missing: tuple[str, ...] = ()
    grade_lgg: float | None = None
    survival_days: float | None = None
