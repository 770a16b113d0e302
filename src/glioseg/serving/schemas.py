"""The bodies of the service's responses as JSON, errors included."""

import base64
import math
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from glioseg.core.errors import GliosegError
from glioseg.models.inference.prediction import Prediction


class VolumeInterval(BaseModel):
    """The volume of a region, and the ends of its prediction interval.

    `level`: the probability that the interval contains the true volume, at most 0.9. Ends and level are None
    if the model had too few calibration cases for an interval. `reason`: why the region cannot be judged;
    then all numbers are None.
    """

    ml: float | None
    low_ml: float | None
    high_ml: float | None
    level: float | None
    reason: str | None = None


class ContractWarning(BaseModel):
    """An expectation that the case does not meet, without being rejected: the prediction may be worse."""

    rule: str
    field: str | None
    message: str


class PredictionResponse(BaseModel):
    """A segmented case.

    `entropy`: mean entropy in bits of the brain and of each region found, from 0 (certain) to 2;
    `confidence`: expected Dice of each region, None for a region where it is not known, and None if the model
    does not estimate it;
    `low_confidence_reasons`: empty if confidence is not low; `calibrated_on`: "synthetic" or "real", the
    cases behind intervals and confidence, None where this is not known; `segmentation`, `entropy_map`,
    `probabilities`: .nii.gz files on the grid of the input, in base64; `picture`: a PNG, in base64.
    """

    version: str
    model: str
    volumes: dict[str, VolumeInterval]
    entropy: dict[str, float | None]
    confidence: dict[str, float | None] | None
    low_confidence_reasons: list[str]
    calibrated_on: str | None
    warnings: list[ContractWarning]
    missing: list[str]
    dice: dict[str, float] | None
    grade_lgg: float | None
    survival_days: float | None
    seconds: float
    segmentation: str
    entropy_map: str | None
    probabilities: dict[str, str] | None
    picture: str | None


class Readiness(BaseModel):
    """The model in use, and the state of the request queue.

    `problem`: why a newer version could not be loaded; `requests`: in the queue, including the one being
    processed; `typical_seconds`: mean time of the latest requests.
    """

    model: str
    version: str
    problem: str | None
    requests: int
    typical_seconds: float | None


class QueuePosition(BaseModel):
    """The state of a request, and how many requests are ahead of it if it is waiting."""

    state: str
    ahead: int | None = None


class ErrorDetail(BaseModel):
    """Why a request failed; `rule` and `field`: the expectation that failed, and its file."""

    code: str
    field: str | None = None
    rule: str | None = None
    message: str


class ErrorResponse(BaseModel):
    """The body of every error response."""

    error: ErrorDetail


@dataclass(eq=False)
class RequestError(GliosegError):
    """A request that the service rejects or cannot complete; it contains only what the client may read.

    `retry_after_s`: when the client should try again.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    rule: str | None = None
    retry_after_s: int | None = None

    @property
    def body(self) -> bytes:
        """The body of the response, as JSON."""
        detail = ErrorDetail(code=self.code, field=self.field, rule=self.rule, message=self.message)
        return ErrorResponse(error=detail).model_dump_json().encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        headers = {"Content-Type": "application/json"}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers


def bad_request(message: str, *, field: str | None = None) -> RequestError:
    """The error for a form that `POST /segment` does not accept."""
    return RequestError(400, "bad_request", message, field)


def prediction_fields(prediction: Prediction) -> dict[str, Any]:
    """The fields of a `PredictionResponse` with numbers of a prediction; NaN and infinity become None."""
    bits = {
        "mean_bits" if name == "brain" else f"{name}_mean_bits": value
        for name, value in prediction.mean_bits.items()
    }
    return {
        "volumes": {name: vars(volume) for name, volume in prediction.volumes.items()},
        "entropy": {name: _finite(value) for name, value in bits.items()},
        "confidence": prediction.confidence or None,
        "low_confidence_reasons": list(prediction.low_confidence_reasons),
        "calibrated_on": prediction.calibrated_on,
        "missing": list(prediction.missing),
        "grade_lgg": _finite(prediction.grade_lgg),
        "survival_days": _finite(prediction.survival_days),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def to_base64(content: bytes) -> str:
    """The bytes of a file in base64."""
    return base64.b64encode(content).decode()
