"""One request: from the bytes of its files to the bytes of its response."""

import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.gzip_bytes import plausible_voxels
from glioseg.core.labels import LabelError, from_detected_scheme
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Volume, encode_volume
from glioseg.data.cohort.cases import Case, decode_scan
from glioseg.data.quality.expectations import Finding
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion_matrix
from glioseg.models.inference.prediction import Prediction
from glioseg.serving.checked_case import (
    CheckedCase,
    check_scans,
    encode_labels,
    encode_probabilities,
    with_mirror,
)
from glioseg.serving.model_reloader import LoadedVersion
from glioseg.serving.schemas import (
    ContractWarning,
    PredictionResponse,
    RequestError,
    prediction_fields,
    to_base64,
)
from glioseg.serving.uploads import Upload

CASE = "case"
"""Name of the case in messages: an upload has none."""
VOXEL_BYTES = 8
"""Memory of a voxel in double precision, the largest dtype of the arrays that are computed from a file."""


@dataclass(frozen=True)
class SegmentationResult:
    """The response of a request: the label map as a .nii.gz file, and the JSON with everything."""

    version: LoadedVersion
    label_map: bytes
    response: PredictionResponse


def segment(version: LoadedVersion, upload: Upload, *, max_bytes: int) -> SegmentationResult:
    """Segment an uploaded case.

    Args:
        version: the model.
        upload: files and options of the request.
        max_bytes: maximum size of one file when it is decompressed.

    Raises:
        RequestError: 422, a file is unreadable or breaks the contract.
    """
    begun = time.perf_counter()
    checked = _check(upload, version, max_bytes)
    truth = _truth(checked, upload)
    prediction = _predict(checked, version, upload)
    label_map = encode_labels(prediction, checked.grid, upload.scheme)
    response = PredictionResponse(
        version=version.version,
        model=version.model,
        warnings=_warnings(checked),
        dice=None if truth is None else region_dice(confusion_matrix(truth, prediction.labels)),
        segmentation=to_base64(label_map),
        entropy_map=_entropy_map(prediction, checked) if upload.entropy else None,
        probabilities=_probability_maps(prediction, checked) if upload.probabilities else None,
        picture=_picture(prediction, checked, truth, version) if upload.picture else None,
        **prediction_fields(prediction),
        seconds=time.perf_counter() - begun,
    )
    return SegmentationResult(version, label_map, response)


def _check(upload: Upload, version: LoadedVersion, max_bytes: int) -> CheckedCase:
    """Decode the files and check them against the contract of the model."""
    scans = {
        role: decode_scan(
            content, file="", max_voxels=min(plausible_voxels(content), max_bytes // VOXEL_BYTES)
        )
        for role, content in upload.files.items()
    }
    case = Case(CASE, dict.fromkeys(scans, Path()), upload.scheme)
    checked = check_scans(case, scans, version.contract)
    if checked.critical:
        raise _rejection(checked.critical[0])
    return checked


def _rejection(finding: Finding) -> RequestError:
    code = "unreadable" if finding.expectation == "readable" else "contract"
    return RequestError(422, code, finding.message, finding.role or None, _rule(finding))


def _warnings(checked: CheckedCase) -> list[ContractWarning]:
    return [
        ContractWarning(rule=_rule(finding), field=finding.role or None, message=finding.message)
        for finding in checked.findings
        if finding.severity == "warning"
    ]


def _rule(finding: Finding) -> str:
    """The name of a rule as contract.yaml spells it."""
    return finding.expectation.lower().replace(" ", "_")


def _truth(checked: CheckedCase, upload: Upload) -> UInt8[NDArray, "d h w"] | None:
    """The uploaded segmentation with dense labels; its scheme is detected from its values if possible."""
    scan = checked.scans.get(SEGMENTATION)
    if scan is None or scan.volume is None:
        return None
    try:
        return from_detected_scheme(scan.volume.data, upload.scheme)
    except LabelError as error:
        message = str(error).removeprefix("labels: ")
        raise RequestError(422, "contract", message, SEGMENTATION, "labels") from None


def _predict(checked: CheckedCase, version: LoadedVersion, upload: Upload) -> Prediction:
    try:
        return checked.predict(with_mirror(version.predictor, upload.mirror))
    except GliosegError as error:
        raise RequestError(422, "contract", " ".join(str(error).split())) from None


def _entropy_map(prediction: Prediction, checked: CheckedCase) -> str:
    return to_base64(encode_volume(Volume(prediction.entropy_bits, checked.grid)))


def _probability_maps(prediction: Prediction, checked: CheckedCase) -> dict[str, str]:
    files = encode_probabilities(prediction, checked.grid)
    return {region: to_base64(content) for region, content in files.items()}


def _picture(
    prediction: Prediction,
    checked: CheckedCase,
    truth: UInt8[NDArray, "d h w"] | None,
    version: LoadedVersion,
) -> str:
    from glioseg.evaluation.case_figure import (
        planes_picture,
        scan_in_lps,
    )  # drawing libraries are loaded only for pictures

    images = {name: volume.data for name, volume in checked.images.items()}
    labels = ({} if truth is None else {"truth": truth}) | {"prediction": prediction.labels}
    volumes = "   ".join(
        f"{region} {volume.reason or f'{volume.ml:.1f} ml'}" for region, volume in prediction.volumes.items()
    )
    title = f"{version.model}, version {version.version}"
    file = BytesIO()
    planes_picture(scan_in_lps(images, labels, checked.grid), title=title, subtitle=volumes).save(file, "PNG")
    return to_base64(file.getvalue())
