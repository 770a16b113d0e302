"""contract.yaml as frozen objects: the severity and the limits of each rule for raw scans."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from glioseg.core.geometry import AFFINE_TOLERANCE_MM
from glioseg.params.sections import Fraction, Positive, Voxels3
from glioseg.params.settings_file import params_error, parse_yaml, read_text

CONTRACT = "contract.yaml"

NO_LIMIT = sys.float_info.max
"""A finite stand-in for infinity, which JSON lacks."""

Severity = Literal["critical", "warning", "info", "off"]
# YAML reads `off` as false.
SeverityField = Annotated[Severity, BeforeValidator(lambda value: "off" if value is False else value)]
AboveOne = Annotated[float, Field(gt=1)]


class RuleSettings(BaseModel):
    """Severity of a violation: `severity` in a cohort, `predict` for a single case to be segmented."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    severity: SeverityField
    predict: SeverityField


class ShapeRule(RuleSettings):
    """Expected shape: `voxels` along each axis."""

    voxels: Voxels3


class SpacingRule(RuleSettings):
    """Expected spacing: `mm` along each axis."""

    mm: tuple[Positive, Positive, Positive]


class AffineRule(RuleSettings):
    """`tolerance`: maximum difference between entries of a case's affines and of its first image's."""

    tolerance: Annotated[float, Field(ge=0)]

    @property
    def rejection_threshold_mm(self) -> float:
        """The difference above which the volumes of a case are rejected after validation.

        It is `NO_LIMIT` if the rule only warns, in a cohort or for a single case: validation has accepted
        such a case.
        """
        return self.tolerance if self.severity == self.predict == "critical" else NO_LIMIT


class QformSformRule(RuleSettings):
    """`mm`: largest distance between the positions that qform and sform give a voxel."""

    mm: Annotated[float, Field(ge=0)]


class RegistrationRule(RuleSettings):
    """`mm`: largest displacement of an image from the others of its case."""

    mm: Positive


class BrainFractionRule(RuleSettings):
    """`low`, `high`: limits for the fraction of voxels that are not 0."""

    low: Fraction
    high: Fraction

    @model_validator(mode="after")
    def _check_order(self) -> "BrainFractionRule":
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got {self.low:g} and {self.high:g}")
        return self


class SwappedModalitiesRule(RuleSettings):
    """`log_odds`: maximum natural logarithm of how much likelier another order of the images is.

    It replaces `times`, a ratio of bright tails; contracts of earlier versions may still have that.
    """

    log_odds: Annotated[float, Field(ge=0)]

    @model_validator(mode="before")
    @classmethod
    def _ignore_times(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        return {name: value for name, value in settings.items() if name != "times"}


class OutlierRule(RuleSettings):
    """Limits for the distance of a statistic from the median of its modality, on a log scale.

    A value is an outlier if it differs by more than the factor `times` and by more than `deviations` robust
    standard deviations.
    """

    times: AboveOne
    deviations: Positive


class NearDuplicateRule(RuleSettings):
    """`correlation` above which images are near duplicates; `same_patient`: for two visits of a patient."""

    correlation: Fraction
    same_patient: Fraction


class BackgroundRule(RuleSettings):
    """`overlap`: minimum Dice of an image's brain with those of the other images of the case."""

    overlap: Fraction


class SkullStrippedRule(RuleSettings):
    """`share`: maximum share of the foreground outside the brain."""

    share: Fraction


class LabelsOutsideBrainRule(RuleSettings):
    """Tolerance of labels outside the brain: their `share` of all labels, and `mm` from the brain."""

    share: Fraction
    mm: Annotated[float, Field(ge=0)]


class LabelsMisplacedRule(RuleSettings):
    """`share` of the labels outside the brain above which the labels do not belong to the images."""

    share: Fraction


def _same_severity(severity: Severity) -> RuleSettings:
    return RuleSettings(severity=severity, predict=severity)


def _cohort_only(severity: Severity) -> RuleSettings:
    """Settings of a rule that does not apply to single cases: it compares cases, or checks segmentations."""
    return RuleSettings(severity=severity, predict="off")


class Contract(BaseModel):
    """Settings of all rules for a raw cohort; the defaults are for BraTS."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    readable: RuleSettings = _same_severity("critical")
    shape: ShapeRule = ShapeRule(severity="critical", predict="warning", voxels=(240, 240, 155))
    same_shape: RuleSettings = _same_severity("critical")
    placed: RuleSettings = _same_severity("critical")
    spacing: SpacingRule = SpacingRule(severity="critical", predict="warning", mm=(1.0, 1.0, 1.0))
    affine: AffineRule = AffineRule(severity="critical", predict="critical", tolerance=AFFINE_TOLERANCE_MM)
    orientation: RuleSettings = _same_severity("info")
    qform_sform: QformSformRule = QformSformRule(severity="warning", predict="warning", mm=0.5)
    known_orientation: RuleSettings = _same_severity("warning")
    registration: RegistrationRule = RegistrationRule(severity="warning", predict="warning", mm=3)
    dtype: RuleSettings = _same_severity("critical")
    nan: RuleSettings = _same_severity("critical")
    infinite: RuleSettings = _same_severity("critical")
    brain_fraction: BrainFractionRule = BrainFractionRule(
        severity="critical", predict="warning", low=0.05, high=0.6
    )
    background: BackgroundRule = BackgroundRule(severity="critical", predict="critical", overlap=0.7)
    skull_stripped: SkullStrippedRule = SkullStrippedRule(severity="critical", predict="critical", share=0.2)
    contrast: RuleSettings = _same_severity("critical")
    swapped: SwappedModalitiesRule = SwappedModalitiesRule(
        severity="warning", predict="warning", log_odds=4.0
    )
    own_bytes: RuleSettings = RuleSettings(severity="critical", predict="warning")
    range: OutlierRule = OutlierRule(severity="warning", predict="off", times=8, deviations=5)
    peak: OutlierRule = OutlierRule(severity="warning", predict="off", times=3, deviations=5)
    detail: OutlierRule = OutlierRule(severity="warning", predict="off", times=3, deviations=4)
    near_duplicate: NearDuplicateRule = NearDuplicateRule(
        severity="warning", predict="off", correlation=0.7, same_patient=0.98
    )
    labels: RuleSettings = _cohort_only("critical")
    label_scheme: RuleSettings = _cohort_only("critical")
    labels_outside_brain: LabelsOutsideBrainRule = LabelsOutsideBrainRule(
        severity="warning", predict="off", share=0.001, mm=3
    )
    labels_misplaced: LabelsMisplacedRule = LabelsMisplacedRule(severity="critical", predict="off", share=0.1)
    population: RuleSettings = _same_severity("warning")
    modality: RuleSettings = RuleSettings(severity="critical", predict="info")
    segmentation: RuleSettings = _cohort_only("info")
    unique_id: RuleSettings = _cohort_only("critical")
    one_grade: RuleSettings = _cohort_only("warning")

    def severity(self, rule: str, *, single: bool) -> Severity:
        """The severity of a violation of a rule.

        Args:
            rule: name of the rule, as in a finding or in contract.yaml.
            single: whether the case is to be segmented, instead of a case of a cohort.
        """
        settings: RuleSettings = getattr(self, rule.lower().replace(" ", "_"))
        return settings.predict if single else settings.severity


def load_contract(path: Path) -> Contract:
    """The contract in a contract.yaml, with defaults for missing settings; the default without a file.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    if not path.exists():
        return Contract()
    overrides = parse_yaml(read_text(path), path) or {}
    try:
        return Contract.model_validate(_merge(Contract().model_dump(), overrides))
    except ValidationError as error:
        raise params_error(path, error) from None


def _merge(default: Mapping[str, Any], overrides: Any) -> Any:
    """The defaults overridden rule by rule; Pydantic rejects invalid values later."""
    if not isinstance(overrides, dict):
        return overrides
    rules = {
        name: {**default[name], **given} if name in default and isinstance(given, dict) else given
        for name, given in overrides.items()
    }
    return {**default, **rules}
