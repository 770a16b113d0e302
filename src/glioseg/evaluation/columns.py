"""The names of what is measured: structures, metrics and a table's columns. Light: anything may know them."""

from glioseg.core.labels import LABEL_NAMES, REGIONS, Label

STRUCTURES: dict[str, tuple[Label, ...]] = {
    **REGIONS,
    **{f"label_{name}": (Label[name],) for name in LABEL_NAMES},
}
"""What is measured: the nested regions WT, TC, ET, and the three exclusive labels beside them."""

METRICS = {
    "dice": "dice_{}",
    "hd95_mm": "hd95_{}_mm",
    "sensitivity": "sensitivity_{}",
    "specificity": "specificity_{}",
}
"""Each metric of every structure and how its columns are named."""

REGION_METRICS = {
    "lesion_dice": "lesion_dice_{}",
    "lesion_hd95_mm": "lesion_hd95_{}_mm",
    "lesions": "lesions_{}",
    "missed_lesions": "missed_lesions_{}",
    "false_lesions": "false_lesions_{}",
    "surface_dice": "surface_dice_{}",
    "truth_ml": "truth_{}_ml",
    "predicted_ml": "predicted_{}_ml",
}
"""Each metric of the regions WT, TC and ET alone and how its columns are named."""

CASE_METRICS = ("mean_dice", "seed_dice", "seed_weighted_dice")
"""Values of a whole case: the mean Dice of WT, TC and ET, and the seed's two Dice values."""

ANSWER_METRICS = {
    "low_ml": "low_{}_ml",
    "high_ml": "high_{}_ml",
    "calibration_error": "calibration_error_{}",
    "confidence": "confidence_{}",
}
"""What each region's doubt is measured by: ends of the volume interval, probabilities, expected Dice."""

NAMES = METRICS | REGION_METRICS | ANSWER_METRICS


def column(metric: str, structure: str) -> str:
    """The name of a metric's column for a structure.

    >>> column("hd95_mm", "WT"), column("dice", "label_NCR")
    ('hd95_wt_mm', 'dice_label_ncr')
    """
    return NAMES[metric].format(structure.lower())
