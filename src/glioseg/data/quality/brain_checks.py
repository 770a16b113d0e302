"""Whether the voxels that are not 0 are a brain, and whether the labels lie in it.

The share of the foreground outside the brain is measured in two ways, and the larger one counts. In a head,
the dark skull separates the brain from the scalp and the face. An erosion of the bright tissue leaves the
brain as its largest part, and all voxels close to that part are brain. This misses a skull that is blurred or
bright. But no brain is larger than 2000 ml, so what is beyond that is not brain.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.dice import dice_from_counts
from glioseg.core.geometry import Spacing3, bounding_box
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.expectations import Expectation, Row
from glioseg.data.quality.near_duplicates import scale_to_unit
from glioseg.params.contract import Contract

COARSE_STEP = 3
"""Every third voxel along each axis is used to compare the brains of two modalities."""

SKULL_STEP_MM = 2.0
"""Distance between the voxels in which the skull is looked for; the skull is 4 to 8 mm thick."""

BRIGHT = 0.5
"""Tissue is brighter than half of the median of the foreground. Bone and air are darker."""

EROSION_MM, MARGIN_MM = 6.0, 5.0
"""Depth of the erosion, more than half the thickness of the scalp, and further distance that is still brain.
With these, at most 4.3 % of 56 real skull-stripped volumes are outside the brain, but 32 % to 43 % of heads
(the same brains with a simulated skull and scalp)."""

MIN_ML, MAX_BRAIN_ML = 400, 2000
"""A smaller foreground is a part of a brain, or not human. A larger one than 2000 ml is more than a brain:
those of 14 cases of BraTS have 1250 to 1640 ml."""

MAX_HEAD_ML = 20_000
"""A larger foreground is no head: the unit of the spacing is wrong, as other rules say."""


def measure_overlaps(volumes: Mapping[str, Volume]) -> dict[str, float]:
    """For each image, the median Dice of its brain with the brains of the other images of the case.

    Args:
        volumes: by role; a segmentation, and an image whose voxels are all 0, are left out.
    """
    coarse = {
        role: image.grid.to_lps(image.data)[::COARSE_STEP, ::COARSE_STEP, ::COARSE_STEP] != 0
        for role, image in volumes.items()
        if role != SEGMENTATION and image.is_numeric and image.grid.has_valid_affine
    }
    brains = {role: brain for role, brain in coarse.items() if brain.any()}
    if len(brains) < 2 or len({brain.shape for brain in brains.values()}) > 1:
        return {}
    return {
        role: float(np.median([_dice(brain, other) for name, other in brains.items() if name != role]))
        for role, brain in brains.items()
    }


def _dice(one: Bool[NDArray, "d h w"], other: Bool[NDArray, "d h w"]) -> float:
    return float(dice_from_counts((one & other).sum(), one.sum() + other.sum()))


def extracerebral_share(image: Num[NDArray, "d h w"], spacing_mm: Spacing3) -> float | None:
    """The share of the foreground that is not brain, or None if its size is not that of a brain or a head.

    Args:
        image: finite, with a background of 0.
        spacing_mm: distance between neighbouring voxels.
    """
    steps = [max(1, round(SKULL_STEP_MM / mm)) for mm in spacing_mm]
    mm = [step * each for step, each in zip(steps, spacing_mm, strict=True)]
    coarse: NDArray = image[:: steps[0], :: steps[1], :: steps[2]]
    foreground_ml = np.count_nonzero(coarse) * float(np.prod(mm)) / 1000
    if not MIN_ML <= foreground_ml <= MAX_HEAD_ML:
        return None
    coarse = np.pad(np.abs(scale_to_unit(coarse[bounding_box(coarse != 0).slices])), 1)
    foreground = coarse != 0
    bright = coarse > BRIGHT * np.median(coarse[foreground])
    deep = ndimage.distance_transform_edt(bright, sampling=mm) > EROSION_MM
    too_large = max(0.0, 1 - MAX_BRAIN_ML / foreground_ml)
    if not deep.any():
        return too_large
    parts, _ = ndimage.label(deep)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    near = ndimage.distance_transform_edt(parts != sizes.argmax(), sampling=mm) <= EROSION_MM + MARGIN_MM
    brain = ndimage.binary_fill_holes(near) & foreground
    return max(1 - np.count_nonzero(brain) / np.count_nonzero(foreground), too_large)


def brain_row(
    zero_background: bool | None, overlap: float | None, share: float | None, contract: Contract
) -> Row:
    """Columns of a volume's row: a text if it breaks the rule `background` or `skull_stripped`."""
    background = None
    if zero_background is False:
        background = "values everywhere"
    elif overlap is not None and overlap < contract.background.overlap:
        background = f"a brain whose Dice with theirs is {overlap:.2f}"
    skull = share is not None and share > contract.skull_stripped.share
    return {
        "background_text": background,
        "skull_text": f"{100 * share:.0f} % of the foreground outside it" if skull and share else None,
    }


def brain_expectations() -> Iterator[Expectation]:
    """The rules `background` and `skull_stripped`."""
    yield expect.absent(
        "background",
        "background_text",
        expected="a background of one value, around the brain that the other images show",
        observed="{background_text}",
    )
    yield expect.absent(
        "skull stripped",
        "skull_text",
        expected="a skull-stripped brain",
        observed="{skull_text}; remove skull, scalp and face first",
    )


def measure_outside(
    tumour: Bool[NDArray, "d h w"], brain: Bool[NDArray, "d h w"], grid: Grid
) -> dict[str, Any]:
    """Number of labelled voxels outside the brain, and the largest distance of one of them from the brain.

    Args:
        tumour: where the segmentation has a label.
        brain: brain mask of the case.
        grid: of the segmentation.

    Returns:
        `outside_vox`, and `outside_mm`, which is None without a brain or a valid affine.
    """
    outside = tumour & ~brain
    outside_vox = int(np.count_nonzero(outside))
    if not outside_vox:
        return {"outside_vox": 0, "outside_mm": 0.0}
    if not (brain.any() and grid.has_valid_affine):
        return {"outside_vox": outside_vox, "outside_mm": None}
    distance_mm = ndimage.distance_transform_edt(~brain, sampling=grid.spacing_mm)
    return {"outside_vox": outside_vox, "outside_mm": round(float(distance_mm[outside].max()), 3)}


def position_row(
    tumour_vox: int | None, outside_vox: int | None, outside_mm: float | None, contract: Contract
) -> Row:
    """Columns of a volume's row: a text if its labels break a rule.

    Labels that break `labels_misplaced` do not break `labels_outside_brain` as well, unless that rule is off.
    """
    if not tumour_vox or outside_vox is None:
        return {"labels_outside": None, "labels_misplaced": None}
    tolerance, share = contract.labels_outside_brain, outside_vox / tumour_vox
    near = outside_mm is not None and outside_mm <= tolerance.mm
    distance = "" if outside_mm is None else f", up to {outside_mm:.3g} mm from the brain"
    text = f"{outside_vox} voxels ({100 * share:.3g} %){distance}"
    if not near and share > contract.labels_misplaced.share and contract.labels_misplaced.severity != "off":
        return {"labels_outside": None, "labels_misplaced": text}
    return {"labels_outside": None if near and share <= tolerance.share else text, "labels_misplaced": None}


def position_expectations(contract: Contract) -> Iterator[Expectation]:
    """The rules `labels_outside_brain` and `labels_misplaced`."""
    tolerance = contract.labels_outside_brain
    yield expect.absent(
        "labels outside brain",
        "labels_outside",
        expected=f"at most {100 * tolerance.share:g} % of the labels where every image is 0, and these within"
        f" {tolerance.mm:g} mm of the brain",
        observed="{labels_outside}",
    )
    yield expect.absent(
        "labels misplaced",
        "labels_misplaced",
        expected="labels of these images,"
        f" at most {100 * contract.labels_misplaced.share:g} % of them outside the brain",
        observed="{labels_misplaced}",
    )
