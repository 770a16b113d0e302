"""One request's work: from the bytes of its files to the bytes of its answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS, LabelError, as_labels, from_scheme, shown_scheme, to_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import Grid, Volume, encode_shares, encode_volume, fair_voxels
from glioseg.data.cohort.case_io import Scan, decode_scan
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.case_validation import check_case
from glioseg.data.quality.validation_report import Finding
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion
from glioseg.models.inference.prediction import Answer
from glioseg.serving.errors import RequestError
from glioseg.serving.model_reloader import Version
from glioseg.serving.schemas import Reply, Warned, as_text, measured
from glioseg.serving.uploads import Upload

CASE = "case"
"""What a message calls the case: a request has no name."""
VOXEL_BYTES = 8
"""A voxel is counted as double precision, whatever the file has: what is made of it is no smaller."""

LARGEST_LABEL = 100
"""No scheme comes near it; what is beyond is no label map."""


@dataclass(frozen=True)
class Segmented:
    """An answer: the label map as a .nii.gz file, and all of it as JSON."""

    version: Version
    label_map: bytes
    reply: Reply


def segment(version: Version, upload: Upload, *, most_bytes: int) -> Segmented:
    """Segment an uploaded case.

    Args:
        version: answers.
        upload: its files and wishes.
        most_bytes: what one file may hold once inflated.

    Raises:
        RequestError: 422, a file is unreadable or breaks the contract.
    """
    begun = time.perf_counter()
    scans = {
        role: decode_scan(content, file="", most_voxels=min(fair_voxels(content), most_bytes // VOXEL_BYTES))
        for role, content in upload.files.items()
    }
    warnings = _check(scans, upload, version)
    volumes = {role: scan.volume for role, scan in scans.items() if scan.volume is not None}
    images = {role: volumes[role] for role in MODALITIES if role in volumes}
    truth = _truth(volumes, upload)
    answer = _answer(version, images, upload)
    grid = next(iter(images.values())).grid
    label_map = encode_volume(Volume(to_scheme(answer.labels, upload.scheme), grid))
    reply = Reply(
        version=version.version,
        model=version.model,
        warnings=warnings,
        dice=None if truth is None else region_dice(confusion(truth, answer.labels)),
        segmentation=as_text(label_map),
        entropy_map=as_text(encode_volume(Volume(answer.entropy_bits, grid))) if upload.entropy else None,
        probabilities=_shares(answer, grid) if upload.probabilities else None,
        **measured(answer),
        seconds=time.perf_counter() - begun,
    )
    return Segmented(version, label_map, reply)


def _check(scans: Mapping[str, Scan], upload: Upload, version: Version) -> list[Warned]:
    """Hold the case to the version's own contract.

    Returns:
        What is told with the answer.
    """
    if not any(name in scans for name in MODALITIES):
        raise RequestError(
            422, "contract", f"expected at least one of {', '.join(MODALITIES)}", rule="modality"
        )
    case = Case(CASE, dict.fromkeys(scans, Path()), upload.scheme)
    found = check_case(case, scans, version.contract)
    for finding in found:
        if finding.severity == "critical":
            raise _refusal(finding)
    return [
        Warned(rule=_rule(finding), field=finding.role or None, message=finding.message)
        for finding in found
        if finding.severity == "warning"
    ]


def _refusal(finding: Finding) -> RequestError:
    code = "unreadable" if finding.expectation == "readable" else "contract"
    return RequestError(422, code, finding.message, finding.role or None, _rule(finding))


def _rule(finding: Finding) -> str:
    """A rule's name as contract.yaml spells it."""
    return finding.expectation.lower().replace(" ", "_")


def _truth(volumes: Mapping[str, Volume], upload: Upload) -> UInt8[NDArray, "d h w"] | None:
    """The uploaded segmentation, dense; its values tell its scheme where they can."""
    if SEGMENTATION not in volumes:
        return None
    data = volumes[SEGMENTATION].data
    try:
        if not (np.abs(data) <= LARGEST_LABEL).all():
            raise LabelError(f"expected labels, got values up to {np.abs(data).max():g}")
        values = as_labels(data)
        shown = shown_scheme(np.unique(values[values != 0]).tolist())
        return from_scheme(values, shown or upload.scheme)
    except LabelError as error:
        message = str(error).removeprefix("labels: ")
        raise RequestError(422, "contract", message, SEGMENTATION, "labels") from None


def _answer(version: Version, images: Mapping[str, Volume], upload: Upload) -> Answer:
    segmenter, settings = version.segmenter, version.segmenter.settings
    if upload.mirror is not None:
        segmenter = replace(segmenter, settings=replace(settings, mirror=upload.mirror))
    try:
        return segmenter.answer(images)
    except GliosegError as error:
        raise RequestError(422, "contract", " ".join(str(error).split())) from None


def _shares(answer: Answer, grid: Grid) -> dict[str, str]:
    shares = answer.probabilities.on_grid()
    return {name: as_text(encode_shares(shares[..., index], grid)) for index, name in enumerate(REGIONS)}
