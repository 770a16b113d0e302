"""All metrics of one case, on the scan's own grid, by column name."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.typing import NDArray

from glioseg.core.geometry import Box, Spacing3, bounding_box
from glioseg.core.labels import REGIONS, Label, regions_from_labels
from glioseg.evaluation.columns import STRUCTURES, column
from glioseg.evaluation.lesion_wise import lesion_scores
from glioseg.evaluation.overlap import confusion_matrix, mask_of, overlap, seed_dice, seed_weighted_dice
from glioseg.evaluation.surface import grid_diagonal_mm, hausdorff_mm, surface_dice
from glioseg.models.inference.calibration import expected_calibration_error
from glioseg.models.inference.prediction import BrainProbabilities


def case_metrics(
    truth: UInt8[NDArray, "d h w"],
    prediction: UInt8[NDArray, "d h w"],
    *,
    spacing_mm: Spacing3,
) -> dict[str, float]:
    """The metrics of one predicted case.

    Dice, sensitivity and specificity count the voxels of the whole grid, including the air around the
    head. Specificity is the share of all voxels outside the truth that are not predicted, so it is close to
    1 for any tumour. Every value is finite (docs/decisions/0002-empty-masks.md).

    Args:
        truth: dense labels on the scan's own grid.
        prediction: dense labels on the same grid.
        spacing_mm: spacing of that grid.

    Returns:
        A value for each column of `METRICS` and each structure, of `REGION_METRICS` and each region,
        and for each of `CASE_METRICS` (see `columns`).
    """
    confusion = confusion_matrix(truth, prediction)
    # Air contains neither surfaces nor lesions; without it the rest is about twice as fast.
    box = _tumour_box(truth, prediction)
    near = truth[box.slices], prediction[box.slices]
    d, h, w = truth.shape
    row = _structures(confusion, _distances_mm(*near, spacing_mm, grid_diagonal_mm((d, h, w), spacing_mm)))
    for region, members in REGIONS.items():
        row |= _region(region, mask_of(near[0], members), mask_of(near[1], members), spacing_mm)
    return row | {
        "mean_dice": float(np.mean(list(region_dice(confusion).values()))),
        "seed_dice": seed_dice(confusion),
        "seed_weighted_dice": seed_weighted_dice(confusion),
    }


def region_dice(confusion: Int64[NDArray, "4 4"]) -> dict[str, float]:
    """Dice of WT, TC and ET.

    Args:
        confusion: as from `overlap.confusion_matrix`.
    """
    return {region: overlap(confusion, members).dice for region, members in REGIONS.items()}


def _tumour_box(truth: UInt8[NDArray, "d h w"], prediction: UInt8[NDArray, "d h w"]) -> Box:
    tumour = (truth | prediction) > 0
    return bounding_box(tumour if tumour.any() else ~tumour)


def _structures(
    confusion: Int64[NDArray, "4 4"], distances_mm: dict[tuple[Label, ...], float]
) -> dict[str, float]:
    row: dict[str, float] = {}
    for structure, members in STRUCTURES.items():
        counts = overlap(confusion, members)
        row[column("dice", structure)] = counts.dice
        row[column("hd95_area_mm", structure)] = distances_mm[members]
        row[column("sensitivity", structure)] = counts.sensitivity
        row[column("specificity", structure)] = counts.specificity
    return row


def _distances_mm(
    truth: UInt8[NDArray, "d h w"],
    prediction: UInt8[NDArray, "d h w"],
    spacing_mm: Spacing3,
    missing_mm: float,
) -> dict[tuple[Label, ...], float]:
    """HD95 by the labels of a structure. ET, both a region and a label, is computed once."""
    distances_mm = {}
    for members in set(STRUCTURES.values()):
        true, predicted = mask_of(truth, members), mask_of(prediction, members)
        missing = true.any() != predicted.any()
        distance_mm = missing_mm if missing else hausdorff_mm(true, predicted, spacing_mm=spacing_mm)
        distances_mm[members] = distance_mm
    return distances_mm


def _region(
    region: str, truth: Bool[NDArray, "d h w"], prediction: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> dict[str, float]:
    scores = lesion_scores(truth, prediction, spacing_mm=spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    values = {
        "lesion_dice": scores.dice,
        "lesion_hd95_area_mm": scores.hd95_mm,
        "lesions": scores.lesions,
        "missed_lesions": scores.missed,
        "false_lesions": scores.false,
        "surface_dice": surface_dice(truth, prediction, spacing_mm=spacing_mm),
        "truth_ml": float(truth.sum()) * voxel_ml,
        "predicted_ml": float(prediction.sum()) * voxel_ml,
    }
    return {column(metric, region): value for metric, value in values.items()}


def calibration_errors(probabilities: BrainProbabilities, truth: UInt8[NDArray, "d h w"]) -> dict[str, float]:
    """The expected calibration error of each region, over the voxels of one brain.

    Args:
        probabilities: the model's prediction.
        truth: dense labels on the scan's own grid.
    """
    inside = regions_from_labels(probabilities.same_voxels(truth))
    single = np.ones(len(inside), np.int64)
    return {
        region: expected_calibration_error(probabilities.values[:, index], inside[:, index], single)
        for index, region in enumerate(REGIONS)
    }
