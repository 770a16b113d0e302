"""Statistics of every volume of a case, without any thresholds.

`glioseg.data.quality.raw_expectations` compares them with the contract.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray

from glioseg.core.background import has_zero_background
from glioseg.core.brain import brain_mask
from glioseg.core.geometry import Shape3, round_spacing
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.core.nifti import Grid, Volume
from glioseg.data.cohort.cases import Case, Scan, turned_alike
from glioseg.data.quality.brain_checks import extracerebral_share, measure_outside, measure_overlaps
from glioseg.data.quality.image_comparison import compare_images
from glioseg.data.quality.label_intensities import LabelIntensity
from glioseg.data.quality.near_duplicates import fingerprint, hash_voxels, scale_to_unit
from glioseg.data.quality.scan_geometry import measure_geometry, why_misplaced
from glioseg.data.store.grids import affine_deviation

MAX_LABELS = 10
"""Maximum number of label values listed per volume; every scheme of BraTS has fewer."""

MAX_FINITE = 1e100
"""Voxels above this count as infinite, because their squares may overflow in the standard deviation."""

SAMPLED_VOX = 100_000
"""Number of brain voxels from which percentiles are estimated."""

DARK, BRIGHT = 0.5, 99.5
"""Percentiles between which nearly all intensities of a brain lie."""

LINE_STEP = 8
"""`detail` is measured on every eighth row of voxels."""

COARSE_STEP = 3
"""Every third voxel along each axis is used for the bounding box of the brain and the fingerprint."""

Fields = dict[str, Any]
"""Fields of `VolumeStatistics` by name."""


@dataclass(frozen=True)
class VolumeStatistics:
    """Statistics of one file of a case. A value that cannot be measured, as in a truncated file, is None.

    `problem`: why the file cannot be read; `shape`, `spacing_mm`: along the axes of LPS if the affine is
    valid; `case_shape`: the shape of most volumes of the case; `misplaced`: `scan_geometry.why_misplaced`;
    `affine_deviation`: largest difference of an entry of the affine from that of the case's first
    image; `form_distance_mm`, `unknown_orientation`, `displacement_mm`: see `scan_geometry.measure_geometry`;
    `minimum`, `maximum`: of the finite voxels; `brain_fraction`: share of an image's voxels that
    are not 0; `brain_deviation`: standard deviation of those voxels, 0 if there are none; `range`: between
    the percentiles `DARK` and `BRIGHT` of the brain; `peak`: the brightest voxel over the upper percentile;
    `order`, `order_log_odds`: of the first image that looks like another modality, which images of the case
    look like others, and the log-odds of that; `detail`: see `detail`; `fingerprint`: see
    `near_duplicates.fingerprint`; `labels`: the values of a segmentation, at most `MAX_LABELS`;
    `label_intensities`: see `image_comparison`; `tumour_vox`: its voxels above 0; `outside_vox`:
    those of them where every image of the case is 0; `outside_mm`: largest distance of those from the brain;
    `zero_background`: whether the background of an image is 0; `brain_overlap`, `extracerebral_share`: see
    `brain_checks`; `voxels_sha256`: see `near_duplicates.hash_voxels`; `same_bytes_as`: an earlier image with
    the same bytes or the same voxels, as `<case>/<role>`.
    """

    case: str
    role: str
    file: str
    scheme: str
    problem: str | None = None
    sha256: str | None = None
    voxels_sha256: str | None = None
    same_bytes_as: str | None = None
    shape: Shape3 | None = None
    case_shape: Shape3 | None = None
    spacing_mm: tuple[float, ...] | None = None
    orientation: str | None = None
    misplaced: str | None = None
    affine_deviation: float | None = None
    form_distance_mm: float | None = None
    unknown_orientation: str | None = None
    displacement_mm: float | None = None
    dtype: str | None = None
    nan_vox: int | None = None
    infinite_vox: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    brain_fraction: float | None = None
    brain_deviation: float | None = None
    zero_background: bool | None = None
    brain_overlap: float | None = None
    extracerebral_share: float | None = None
    range: float | None = None
    peak: float | None = None
    order: str | None = None
    order_log_odds: float | None = None
    detail: float | None = None
    fingerprint: str | None = None
    labels: tuple[int | float, ...] | None = None
    label_intensities: tuple[LabelIntensity, ...] | None = None
    tumour_vox: int | None = None
    outside_vox: int | None = None
    outside_mm: float | None = None


def measure_scans(case: Case, scans: Mapping[str, Scan]) -> list[VolumeStatistics]:
    """The statistics of one case; a scan that cannot be read has only its `problem`.

    Args:
        case: the case.
        scans: scans of the case by role, as from `open_scans`.
    """
    stored = {role: volume for role in ROLES if role in scans and (volume := scans[role].volume) is not None}
    volumes = turned_alike(stored)
    images = [volumes[modality] for modality in MODALITIES if modality in volumes]
    first = next((image.grid for image in images if image.grid.has_valid_affine), None)
    measure = partial(_measure, first=first, brain=_brain_of_case(images))
    fields = {role: measure(volume, role, stored=stored[role].grid) for role, volume in volumes.items()}
    for role, own in measure_geometry(stored, volumes).items():
        fields[role] |= own
    if shapes := Counter(own["shape"] for own in fields.values()).most_common(1):
        for own in fields.values():
            own["case_shape"] = shapes[0][0]
    for role, overlap in measure_overlaps(volumes).items():
        fields[role]["brain_overlap"] = overlap
    for role, comparison in compare_images(volumes, fields).items():
        fields[role] |= comparison
    return [
        VolumeStatistics(
            case.case, role, scan.file, case.scheme.value, scan.problem, scan.sha256, **fields.get(role, {})
        )
        for role, scan in scans.items()
    ]


def _brain_of_case(images: Sequence[Volume]) -> Bool[NDArray, "d h w"] | None:
    """Where any image of the case is not 0, or None if the images differ in shape."""
    arrays = [image.data for image in images if image.is_numeric]
    return brain_mask(arrays) if len({array.shape for array in arrays}) == 1 else None


def _measure(
    volume: Volume, role: str, *, stored: Grid, first: Grid | None, brain: Bool[NDArray, "_ _ _"] | None
) -> Fields:
    data, grid = volume.data, volume.grid
    dtype = data.dtype.name if data.dtype.names is None else f"colours {''.join(data.dtype.names)}"
    fields: Fields = {"shape": stored.shape, "dtype": dtype, "misplaced": why_misplaced(stored)}
    if grid.has_valid_affine:
        fields["shape"] = stored.lps_shape
        fields["spacing_mm"] = None if fields["misplaced"] else round_spacing(stored.lps_spacing_mm)
        fields["orientation"] = stored.orientation
        fields["affine_deviation"] = None if first is None else affine_deviation(grid, first)
    if not volume.is_numeric:
        return fields
    flat = data.ravel(order="K")  # in the order of memory: a mask selects several times faster
    finite = flat[np.isfinite(flat)] if data.dtype.kind == "f" else flat
    finite = finite[np.abs(finite) < MAX_FINITE] if data.dtype == np.float64 else finite
    nan_vox = int(np.isnan(data).sum()) if data.dtype.kind == "f" else 0
    fields |= {"nan_vox": nan_vox, "infinite_vox": data.size - finite.size - nan_vox}
    if finite.size:
        fields |= {"minimum": finite.min().item(), "maximum": finite.max().item()}
    return fields | (
        _measure_labels(volume, finite, brain) if role == SEGMENTATION else _measure_image(volume, finite)
    )


def _measure_labels(
    volume: Volume, finite: Num[NDArray, " voxels"], brain: Bool[NDArray, "_ _ _"] | None
) -> Fields:
    # Background fills most of the grid: sorting only the other voxels is many times faster.
    labelled = finite[finite != 0]
    values = np.unique(labelled).tolist() + [0] * (labelled.size < finite.size)
    tumour = volume.data > 0
    comparable = brain if brain is not None and brain.shape == tumour.shape else None
    return {
        "labels": tuple(sorted(values)[:MAX_LABELS]),
        "tumour_vox": int(np.count_nonzero(tumour)),
        **({} if comparable is None else measure_outside(tumour, comparable, volume.grid)),
    }


def _measure_image(image: Volume, finite: Num[NDArray, " voxels"]) -> Fields:
    brain, voxels = finite[finite != 0], image.data.size
    fields = {
        "brain_fraction": brain.size / voxels if voxels else None,
        "brain_deviation": float(brain.std(dtype=np.float64)) if brain.size else 0.0,
    }
    if finite.size < voxels or not image.grid.has_valid_affine:
        return fields
    fields["zero_background"] = has_zero_background(image.data)
    if fields["zero_background"]:
        fields["extracerebral_share"] = extracerebral_share(image.data, image.grid.spacing_mm)
    # In LPS, so that the sampled voxels do not depend on the orientation of the file.
    return fields | measure_image_quality(image.grid.to_lps(image.data), brain)


def measure_image_quality(data: Num[NDArray, "d h w"], brain: Num[NDArray, " voxels"]) -> Fields:
    """Range, peak, detail and fingerprint of an image with finite voxels, from samples of its voxels.

    Args:
        data: the image, in LPS.
        brain: those of its voxels that are not 0, in any order.
    """
    box = _brain_box(data)
    if box is None:
        return {}
    sample = brain[:: -(-brain.size // SAMPLED_VOX)]
    low, high = np.percentile(sample, (DARK, BRIGHT)).tolist()
    fine = tuple(slice(side.start * COARSE_STEP, side.stop * COARSE_STEP) for side in box)
    coarse = data[::COARSE_STEP, ::COARSE_STEP, ::COARSE_STEP]
    return {
        "voxels_sha256": hash_voxels(coarse) if high > low else None,
        "range": high - low if high > low else None,
        "peak": float(brain.max()) / high if high > 0 else None,
        "detail": detail(data[fine]),
        "fingerprint": fingerprint(coarse[box]),
    }


def _brain_box(data: Num[NDArray, "d h w"]) -> tuple[slice, slice, slice] | None:
    """The bounding box of the voxels that are not 0, in units of `COARSE_STEP` voxels."""
    brain = data[::COARSE_STEP, ::COARSE_STEP, ::COARSE_STEP] != 0
    indices = [np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not all(axis.size for axis in indices):
        return None
    d, h, w = (slice(int(axis[0]), int(axis[-1]) + 1) for axis in indices)
    return d, h, w


def detail(data: Num[NDArray, "d h w"]) -> float | None:
    """The share of an image's variance between neighbouring voxels, along the axis with the largest share.

    It is the mean square of second differences over 6 times the variance: 1 for white noise, near 0 where
    intensity changes slowly, and independent of scale. Many scans of BraTS have thick slices that were
    interpolated along one axis, so the smallest share is uninformative.

    Args:
        data: the image in the bounding box of its brain; voxels of 0 do not count.

    >>> noise = np.random.default_rng(0).normal(10, 1, (120, 120, 120))
    >>> round(detail(noise), 1)
    1.0
    """
    shares = [_detail_along(np.moveaxis(data, axis, 0)) for axis in range(3)]
    return max((share for share in shares if share is not None), default=None)


def _detail_along(data: Num[NDArray, "d h w"]) -> float | None:
    lines = scale_to_unit(data[:, ::LINE_STEP, ::LINE_STEP])
    brain = lines != 0
    inside = brain[:-2] & brain[1:-1] & brain[2:]
    middle = lines[1:-1][inside]
    variance = float(middle.var(dtype=np.float64)) if middle.size else 0.0
    if variance == 0:
        return None
    second_differences = (lines[:-2] + lines[2:])[inside] - 2 * middle
    return float(np.square(second_differences).mean(dtype=np.float64)) / (6 * variance)
