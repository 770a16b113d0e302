"""Every metric of one case, on the scan's own grid, under the names of a table's columns."""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.eval.distances import Spacing3, hausdorff_mm
from glioseg.eval.overlap import TUMOUR, confusion, mask_of, overlap, seed_dice, seed_weighted_dice
from glioseg.labels import REGIONS, Label

STRUCTURES: dict[str, tuple[Label, ...]] = {
    **REGIONS,
    **{f"label_{label.name}": (label,) for label in TUMOUR},
}
"""What is measured: the nested regions WT, TC, ET, and the three exclusive labels beside them."""

METRICS = {
    "dice": "dice_{}",
    "hd95_mm": "hd95_{}_mm",
    "sensitivity": "sensitivity_{}",
    "specificity": "specificity_{}",
}
"""Each metric and how its columns are named."""

CASE_METRICS = ("mean_dice", "seed_dice", "seed_weighted_dice")
"""Values of a whole case: the mean Dice of WT, TC and ET, and the seed's two Dice values."""


def column(metric: str, structure: str) -> str:
    """The name of a metric's column for a structure.

    >>> column("hd95_mm", "WT"), column("dice", "label_NCR")
    ('hd95_wt_mm', 'dice_label_ncr')
    """
    return METRICS[metric].format(structure.lower())


def case_metrics(
    truth: UInt8[NDArray, "d h w"],
    prediction: UInt8[NDArray, "d h w"],
    *,
    spacing_mm: Spacing3,
) -> dict[str, float]:
    """Measure one predicted case.

    Dice, sensitivity and specificity count voxels of the whole grid, the air around the head
    included: specificity says how much of everything outside the truth was left alone, so it is
    close to 1 for any tumour. Every value is finite (docs/decisions/0002-empty-masks.md).

    Args:
        truth: dense labels on the scan's own grid.
        prediction: dense labels on the same grid.
        spacing_mm: of that grid.

    Returns:
        A value for each `column(metric, structure)` and for each of `CASE_METRICS`.
    """
    pairs = confusion(truth, prediction)
    distances = _distances_mm(truth, prediction, spacing_mm)
    row: dict[str, float] = {}
    for structure, members in STRUCTURES.items():
        counts = overlap(pairs, members)
        row[column("dice", structure)] = counts.dice
        row[column("hd95_mm", structure)] = distances[members]
        row[column("sensitivity", structure)] = counts.sensitivity
        row[column("specificity", structure)] = counts.specificity
    return row | {
        "mean_dice": float(np.mean([row[column("dice", region)] for region in REGIONS])),
        "seed_dice": seed_dice(pairs),
        "seed_weighted_dice": seed_weighted_dice(pairs),
    }


def _distances_mm(
    truth: UInt8[NDArray, "d h w"], prediction: UInt8[NDArray, "d h w"], spacing_mm: Spacing3
) -> dict[tuple[Label, ...], float]:
    """HD95 by the labels of a structure: ET is a region and a label, and is measured once."""
    return {
        members: hausdorff_mm(mask_of(truth, members), mask_of(prediction, members), spacing_mm=spacing_mm)
        for members in set(STRUCTURES.values())
    }
