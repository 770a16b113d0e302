"""Labels outside the brain: how many, how far from it, and the expectations of the contract for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.nifti import Grid
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.expectations import Expectation, Row
from glioseg.params.contract import Contract


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
