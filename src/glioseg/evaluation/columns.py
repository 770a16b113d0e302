"""Names of structures, metrics and table columns; its import is fast, so that any module may use it."""

from glioseg.core.labels import LABEL_NAMES, REGIONS, Label

STRUCTURES: dict[str, tuple[Label, ...]] = {
    **REGIONS,
    **{f"label_{name}": (Label[name],) for name in LABEL_NAMES},
}
"""The structures that are scored: the nested regions WT, TC and ET, and the three exclusive labels."""

METRICS = {
    "dice": "dice_{}",
    "hd95_area_mm": "hd95_area_{}_mm",
    "sensitivity": "sensitivity_{}",
    "specificity": "specificity_{}",
}
"""Metrics of every structure, with the format of their column names."""

REGION_METRICS = {
    "lesion_dice": "lesion_dice_{}",
    "lesion_hd95_area_mm": "lesion_hd95_area_{}_mm",
    "lesions": "lesions_{}",
    "missed_lesions": "missed_lesions_{}",
    "false_lesions": "false_lesions_{}",
    "surface_dice": "surface_dice_{}",
    "truth_ml": "truth_{}_ml",
    "predicted_ml": "predicted_{}_ml",
}
"""Metrics of the regions WT, TC and ET alone, with the format of their column names."""

CASE_METRICS = ("mean_dice", "seed_dice", "seed_weighted_dice")
"""Values of a whole case: the mean Dice of WT, TC and ET, and the two Dice values of the 2018 system."""

PREDICTION_METRICS = {
    "low_ml": "low_{}_ml",
    "high_ml": "high_{}_ml",
    "calibration_error": "calibration_error_{}",
    "confidence": "confidence_{}",
}
"""Values that the model predicts for each region: ends of the volume interval, calibration, expected Dice."""

NAMES = METRICS | REGION_METRICS | PREDICTION_METRICS


def column(metric: str, structure: str) -> str:
    """The name of a metric's column for a structure.

    >>> column("hd95_area_mm", "WT"), column("dice", "label_NCR")
    ('hd95_area_wt_mm', 'dice_label_ncr')
    """
    return NAMES[metric].format(structure.lower())
