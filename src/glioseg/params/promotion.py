"""The section `register`: under which name, and when the champion moves."""

from typing import Annotated

from pydantic import Field

from glioseg.params.sections import Count, Positive, Section

Loss = Annotated[float, Field(ge=0, le=1)]


class Margin(Section):
    """The mean Dice that a new version may lose: of each region, and of the mean of the three."""

    wt: Loss
    tc: Loss
    et: Loss
    mean: Loss


class Limits(Section):
    """What a champion may not exceed; null switches one off."""

    calibration_error: Positive | None
    case_s: Positive | None
    memory_gb: Positive | None


class Register(Section):
    """Under which name, and when the champion moves."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    builtin: bool
    margin: Margin
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    samples: Count
    seed: int
    limits: Limits
