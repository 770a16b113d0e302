"""The answer of `POST /segment`, as JSON holds it."""

import base64
import math
from typing import Any

from pydantic import BaseModel

from glioseg.models.inference.prediction import Answer


class Interval(BaseModel):
    """The volume of a region, and the ends of its prediction interval.

    `level`: the probability that the interval holds the true volume, 0.9 or less. Ends and level are None
    where the model had too few calibration cases for an interval.
    """

    ml: float
    low_ml: float | None
    high_ml: float | None
    level: float | None


class Warned(BaseModel):
    """An expectation that does not hold, though there is an answer: trust it less."""

    rule: str
    field: str | None
    message: str


class Reply(BaseModel):
    """A segmented case.

    `entropy`: mean bits of the brain and of each region found, 0 (sure) to 2; `confidence`: the Dice that is
    to be expected of each region, None where the model does not know; `doubt`: why confidence is low, in
    words; `segmentation`, `entropy_map`, `probabilities`: .nii.gz files on the input's own grid, in base64.
    """

    version: str
    model: str
    volumes: dict[str, Interval]
    entropy: dict[str, float | None]
    confidence: dict[str, float] | None
    doubt: list[str]
    warnings: list[Warned]
    missing: list[str]
    dice: dict[str, float] | None
    grade_lgg: float | None
    survival_days: float | None
    seconds: float
    segmentation: str
    entropy_map: str | None
    probabilities: dict[str, str] | None


class Ready(BaseModel):
    """What answers now.

    `problem`: why a newer version does not; `requests`: those in the line, one of them worked on.
    """

    model: str
    version: str
    problem: str | None
    requests: int
    typical_seconds: float | None


class Turn(BaseModel):
    """Where a request stands: `ahead` are worked on before it."""

    state: str
    ahead: int | None = None


def measured(answer: Answer) -> dict[str, Any]:
    """Those fields of a reply that are numbers of an answer; what is not finite is None."""
    bits = {
        "mean_bits" if name == "brain" else f"{name}_mean_bits": v for name, v in answer.mean_bits.items()
    }
    return {
        "volumes": {name: vars(volume) for name, volume in answer.volumes.items()},
        "entropy": {name: _finite(value) for name, value in bits.items()},
        "confidence": answer.confidence or None,
        "doubt": list(answer.doubt),
        "missing": list(answer.missing),
        "grade_lgg": _finite(answer.grade_lgg),
        "survival_days": _finite(answer.survival_days),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def as_text(content: bytes) -> str:
    """A file in base64."""
    return base64.b64encode(content).decode()
