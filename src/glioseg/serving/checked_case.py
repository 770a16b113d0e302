"""Checks the scans of a case against the contract before the network segments them.

The command line, the HTTP service and the MLflow model all use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glioseg.core.labels import REGIONS, LabelScheme, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_fractions, encode_volume
from glioseg.data.cohort.cases import Case, Scan, turned_alike, zero_backgrounds
from glioseg.data.quality.expectations import Finding
from glioseg.data.quality.raw_expectations import check_case
from glioseg.models.inference.prediction import CaseModel, Prediction
from glioseg.params.contract import Contract

if TYPE_CHECKING:
    from glioseg.models.inference.predictor import Predictor


@dataclass(frozen=True)
class CheckedCase:
    """The scans of a case by role, and the findings of the contract check, the most severe first.

    The axes of all volumes are those of the first image. The images have a background of 0.
    """

    scans: Mapping[str, Scan]
    findings: Sequence[Finding]

    @property
    def critical(self) -> list[Finding]:
        """The findings for which the case is rejected."""
        return [finding for finding in self.findings if finding.severity == "critical"]

    @property
    def images(self) -> dict[str, Volume]:
        """The readable volumes, in the order of `MODALITIES`; a true segmentation is not among them."""
        volumes = {m: self.scans[m].volume for m in MODALITIES if m in self.scans}
        return {m: volume for m, volume in volumes.items() if volume is not None}

    @property
    def grid(self) -> Grid:
        """The grid of the scans, on which the prediction is returned."""
        return next(iter(self.images.values())).grid

    def predict(self, model: CaseModel) -> Prediction:
        """Segment the case.

        Raises:
            ValueError: the contract rejects the case.
            GliosegError: the model cannot segment it, e.g. within its memory budget.
        """
        if self.critical:
            raise ValueError(f"expected a case that meets the contract, got: {self.critical[0]}")
        return model.predict(self.images)


def check_scans(case: Case, scans: Mapping[str, Scan], contract: Contract) -> CheckedCase:
    """Check the scans of a case against the contract; at least one modality must be present.

    Args:
        case: the case; its name appears in the findings.
        scans: by role: modalities, and the true segmentation if there is one.
        contract: of the model that segments the case; its severities for `predict` apply.
    """
    if not any(name in scans for name in MODALITIES):
        missing = Finding(case.case, "", "", "modality", f"at least one of {', '.join(MODALITIES)}", "none")
        return CheckedCase(scans, [missing])
    scans = zero_backgrounds(scans)
    return CheckedCase(_turned_alike(scans), check_case(case, scans, contract))


def _turned_alike(scans: Mapping[str, Scan]) -> dict[str, Scan]:
    volumes = {role: scan.volume for role, scan in scans.items() if scan.volume is not None}
    turned = turned_alike(volumes)
    return {role: replace(scan, volume=turned.get(role)) for role, scan in scans.items()}


def with_mirror(predictor: "Predictor", mirror: bool | None) -> "Predictor":
    """The same model with test-time mirroring switched on or off; None keeps its own setting."""
    if mirror is None:
        return predictor
    return replace(predictor, settings=predictor.settings.with_mirroring(mirror))


def encode_labels(prediction: Prediction, grid: Grid, scheme: LabelScheme) -> bytes:
    """The label map as a .nii.gz file, in the label values of a scheme."""
    return encode_volume(Volume(to_scheme(prediction.labels, scheme), grid))


def encode_probabilities(prediction: Prediction, grid: Grid) -> dict[str, bytes]:
    """The probability map of each region as a .nii.gz file."""
    probabilities = prediction.probabilities.on_grid()
    return {
        region: encode_fractions(probabilities[..., channel], grid) for channel, region in enumerate(REGIONS)
    }
