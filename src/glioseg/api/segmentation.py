"""The segmentation of one case, and how it comes about: check the scans, predict, or reject the case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.labels import LabelScheme, to_scheme
from glioseg.core.nifti import Grid, Nifti1Image, Volume, to_nibabel, write_volume
from glioseg.data.cohort.cases import Case, Scan
from glioseg.data.quality.expectations import Finding
from glioseg.data.store.resampling import ResamplingError
from glioseg.models.inference.prediction import CaseModel, Prediction
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import CheckedCase, check_scans

if TYPE_CHECKING:
    from PIL.Image import Image


class RejectedCaseError(GliosegError):
    """A case that is not segmented, since its scans break the contract or are too large.

    `case`: its name; `reason`: why; `findings`: of the contract check, from critical to info.
    """

    def __init__(self, case: str, reason: str, findings: Sequence[Finding]) -> None:
        super().__init__(reason if reason.startswith(case) else f"{case}: {reason}")
        self.case, self.reason, self.findings = case, reason, tuple(findings)


@dataclass(frozen=True, repr=False)
class Segmentation:
    """The segmentation of a case by a model, on the scan's own grid.

    `case`: its name; `model`: the address of the model; `scheme`: the label values of `save` and
    `to_nibabel`, which are those of the case's own layout; `prediction`: all results; `findings`: of the
    contract check.
    """

    case: str
    model: str
    scheme: LabelScheme
    prediction: Prediction
    findings: tuple[Finding, ...]
    _scans: CheckedCase

    @property
    def labels(self) -> UInt8[NDArray, "d h w"]:
        """The tissue of each voxel: 0 background, 1 non-enhancing core, 2 oedema, 3 enhancing tumour."""
        return self.prediction.labels

    @property
    def affine(self) -> NDArray[np.float64]:
        """The affine (4, 4) from voxels to mm in RAS."""
        return self.grid.affine

    @property
    def grid(self) -> Grid:
        """Shape and affine of the scans, and how their headers state them."""
        return self._scans.grid

    @property
    def volumes_ml(self) -> dict[str, float | None]:
        """The volume of WT, TC and ET in ml; None where a missing modality leaves the region unjudged."""
        return {region: volume.ml for region, volume in self.prediction.volumes.items()}

    @property
    def volume_intervals_ml(self) -> dict[str, tuple[float, float] | None]:
        """The prediction interval of each volume in ml; None if the model has none.

        `prediction.interval_level` is the probability that an interval contains the true volume.
        """
        return {
            region: None
            if volume.low_ml is None or volume.high_ml is None
            else (volume.low_ml, volume.high_ml)
            for region, volume in self.prediction.volumes.items()
        }

    @property
    def expected_dice(self) -> dict[str, float | None]:
        """The expected Dice of each region; None where it is not known, empty without an estimator."""
        return dict(self.prediction.confidence)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the segmentation should know: of the scans, and reasons for low confidence."""
        of_scans = [str(finding) for finding in self.findings if finding.severity == "warning"]
        return (*of_scans, *self.prediction.low_confidence_reasons)

    @property
    def probabilities(self) -> Float32[NDArray, "d h w 3"]:
        """The calibrated probabilities of WT, TC and ET; 0 outside the brain."""
        return self.prediction.probabilities.on_grid()

    @property
    def entropy_bits(self) -> Float32[NDArray, "d h w"]:
        """The entropy of each voxel's label, from 0 (certain) to 2 bits."""
        return self.prediction.entropy_bits

    def to_nibabel(self, *, scheme: str | None = None) -> Nifti1Image:
        """The label map as an image of nibabel.

        Args:
            scheme: name of a `LabelScheme`, e.g. "brats2023"; by default, that of the case's own layout.

        Raises:
            ValueError: there is no such scheme.
        """
        return to_nibabel(self._volume(scheme))

    def save(self, file: str | Path, *, scheme: str | None = None) -> None:
        """Write the label map to a .nii or .nii.gz file, completely or not at all.

        Args:
            file: its folder is created if it does not exist.
            scheme: as for `to_nibabel`.
        """
        write_volume(Path(file).expanduser(), self._volume(scheme))

    def plot(self) -> "Image":
        """A picture of the label map over FLAIR and T1ce in three planes; notebooks show it.

        Returns:
            An image of Pillow; `.save("figure.png")` writes it.
        """
        from glioseg.evaluation.case_figure import planes_picture, scan_in_lps  # imports Pillow

        images = {name: volume.data for name, volume in self._scans.images.items()}
        scan = scan_in_lps(images, {"prediction": self.labels}, self.grid)
        return planes_picture(scan, title=self.case, subtitle=volumes_in_words(self.prediction))

    def statistics(self) -> dict[str, object]:
        """Volumes, intervals, expected Dice and texts by name, as JSON stores them; None where not known."""
        return {
            "case": self.case,
            "model": self.model,
            **self.prediction.numeric_values,
            "low_confidence_reasons": list(self.prediction.low_confidence_reasons),
            "calibrated_on": self.prediction.calibrated_on,
            "missing": list(self.prediction.missing),
            "warnings": [str(finding) for finding in self.findings if finding.severity == "warning"],
        }

    def _volume(self, scheme: str | None) -> Volume:
        return Volume(to_scheme(self.labels, LabelScheme(scheme or self.scheme)), self.grid)

    def __repr__(self) -> str:
        return f"Segmentation of {self.case}: {volumes_in_words(self.prediction)}"


def volumes_in_words(prediction: Prediction) -> str:
    """The volume of each region in ml, or why it cannot be judged."""
    return ", ".join(
        f"{region} {volume.reason or f'{volume.ml:.1f} ml'}" for region, volume in prediction.volumes.items()
    )


def segment_scans(
    case: Case, scans: Mapping[str, Scan], *, model: CaseModel, name: str, contract: Contract
) -> Segmentation:
    """Check the scans of a case, and segment it.

    Args:
        case: name, patient and label scheme.
        scans: by modality, as from `open_scans`.
        model: a loaded model, or one that is loaded when it is first called.
        name: the address of the model.
        contract: of the model.

    Raises:
        RejectedCaseError: the scans break the contract, or must be resampled and are too large for that.
        GliosegError: a single window exceeds the memory budget.
    """
    checked = check_scans(case, scans, contract)
    findings = tuple(checked.findings)
    if checked.critical:
        raise RejectedCaseError(case.case, "; ".join(map(str, checked.critical)), findings)
    try:
        prediction = checked.predict(model)
    except ResamplingError as error:  # smaller cases can still be segmented
        raise RejectedCaseError(case.case, str(error), findings) from None
    except GliosegError as error:
        raise GliosegError(f"{case.case}: {error}") from None
    return Segmentation(case.case, name, case.scheme, prediction, findings, checked)
