"""The terms of the contract with a raw scan: what a user may set, in contract.yaml, of each of its rules."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from glioseg.core.geometry import AFFINE_TOLERANCE
from glioseg.core.settings_file import parse_yaml, read_text, wrong_value
from glioseg.params.sections import Fraction, Positive, Voxels3

CONTRACT = "contract.yaml"

NO_LIMIT = sys.float_info.max
"""As good as infinity, and a number in JSON."""

Severity = Literal["critical", "warning", "info", "off"]
# YAML's own `off` is false.
Weight = Annotated[Severity, BeforeValidator(lambda given: "off" if given is False else given)]
AboveOne = Annotated[float, Field(gt=1)]


class Term(BaseModel):
    """How much one rule weighs: in a cohort, and for a single case that is to be segmented."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    severity: Weight
    predict: Weight


class Shape(Term):
    """`voxels`: along each axis."""

    voxels: Voxels3


class Spacing(Term):
    """`mm`: along each axis."""

    mm: tuple[Positive, Positive, Positive]


class Affine(Term):
    """`tolerance`: how far entries of a case's affines may deviate from those of its first image."""

    tolerance: Annotated[float, Field(ge=0)]

    @property
    def refused_above(self) -> float:
        """The deviation above which volumes are not laid on each other after the contract was asked.

        There is no limit where the rule only warns, of a cohort or of a single case: the case was accepted.
        """
        return self.tolerance if self.severity == self.predict == "critical" else NO_LIMIT


class BrainFraction(Term):
    """`low`, `high`: share of the volume's voxels that are not 0."""

    low: Fraction
    high: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> "BrainFraction":
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got {self.low:g} and {self.high:g}")
        return self


class Swapped(Term):
    """`times`: of the bright tail of T2, how long that of T1 and FLAIR may be; it should be shorter."""

    times: AboveOne


class Far(Term):
    """How far a volume may be from its modality's median, on a log scale.

    `times`: what is nearer is never odd; `deviations`: nor is what lies within so many robust deviations.
    """

    times: AboveOne
    deviations: Positive


class Alike(Term):
    """`correlation`: above it two images are nearly the same; `same_patient`: of two visits of one."""

    correlation: Fraction
    same_patient: Fraction


def _everywhere(severity: Severity) -> Term:
    return Term(severity=severity, predict=severity)


def _cohort(severity: Severity) -> Term:
    """A rule that compares a case with others: a single case has none."""
    return Term(severity=severity, predict="off")


class Contract(BaseModel):
    """Every rule of a raw cohort by name; the defaults are those of BraTS."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    readable: Term = _everywhere("critical")
    shape: Shape = Shape(severity="critical", predict="warning", voxels=(240, 240, 155))
    same_shape: Term = _everywhere("critical")
    placed: Term = _everywhere("critical")
    spacing: Spacing = Spacing(severity="critical", predict="warning", mm=(1.0, 1.0, 1.0))
    affine: Affine = Affine(severity="critical", predict="critical", tolerance=AFFINE_TOLERANCE)
    orientation: Term = _everywhere("info")
    dtype: Term = _everywhere("critical")
    nan: Term = _everywhere("critical")
    infinite: Term = _everywhere("critical")
    brain_fraction: BrainFraction = BrainFraction(severity="critical", predict="warning", low=0.05, high=0.6)
    contrast: Term = _everywhere("critical")
    swapped: Swapped = Swapped(severity="warning", predict="warning", times=1.1)
    own_bytes: Term = Term(severity="critical", predict="warning")
    range: Far = Far(severity="warning", predict="off", times=8, deviations=5)
    peak: Far = Far(severity="warning", predict="off", times=3, deviations=5)
    detail: Far = Far(severity="warning", predict="off", times=3, deviations=4)
    near_duplicate: Alike = Alike(severity="warning", predict="off", correlation=0.7, same_patient=0.98)
    labels: Term = _cohort("critical")
    labels_outside_brain: Term = _cohort("critical")
    modality: Term = Term(severity="critical", predict="info")
    segmentation: Term = _cohort("info")
    unique_id: Term = _cohort("critical")
    one_grade: Term = _cohort("warning")

    def severity(self, rule: str, *, single: bool) -> Severity:
        """How much a rule weighs.

        Args:
            rule: its name, as a finding or as contract.yaml spells it.
            single: for a single case that is to be segmented.
        """
        term: Term = getattr(self, rule.lower().replace(" ", "_"))
        return term.predict if single else term.severity


def load_contract(path: Path) -> Contract:
    """Read a contract.yaml; what it does not say stays as it is by default, and so does all without a file.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    if not path.exists():
        return Contract()
    own = parse_yaml(read_text(path), path) or {}
    try:
        return Contract.model_validate(_merged(Contract().model_dump(), own))
    except ValidationError as error:
        raise wrong_value(path, error) from None


def _merged(default: Mapping[str, Any], own: Any) -> Any:
    """The user's values in the place of the defaults, rule by rule; what does not fit is left to Pydantic."""
    if not isinstance(own, dict):
        return own
    rules = {
        name: {**default[name], **given} if name in default and isinstance(given, dict) else given
        for name, given in own.items()
    }
    return {**default, **rules}
