"""The results of a test as text. It does not import pandas, so that `register` starts in a second."""

from typing import Any

from glioseg.core.labels import REGIONS
from glioseg.models.inference.prediction import percent


def dice_table(metrics: dict[str, Any]) -> str:
    """A text table with one line for each region: mean, 95 % interval and median of Dice, mean HD95.

    Args:
        metrics: the content of reports/metrics.json.
    """
    lines = [f"{'test':6}{'Dice':>7}{'95 % interval':>18}{'median':>9}{'HD95, mm':>11}"]
    for region in REGIONS:
        dice, distance_mm = metrics["dice"][region], metrics["hd95_area_mm"][region]
        interval = f"{dice['low']:.3f} to {dice['high']:.3f}"
        lines.append(
            f"{region:6}{dice['mean']:7.3f}{interval:>18}{dice['median']:9.3f}{distance_mm['mean']:11.1f}"
        )
    return "\n".join(lines)


def interval_line(metrics: dict[str, Any]) -> str:
    """The coverage of the volume intervals of each region as text, with their level; empty without intervals.

    Args:
        metrics: the content of reports/metrics.json.
    """
    if "volume_interval_level" not in metrics:
        return ""
    cases, level = metrics["cases"], metrics["volume_interval_level"]
    covered = [
        f"{region} {round(share * cases)} of {cases}"
        for region, share in metrics["volume_interval_coverage"].items()
    ]
    return f"true volume in its {percent(level)} interval: {', '.join(covered)}"


def lesion_line(metrics: dict[str, Any]) -> str:
    """The mean lesion-wise Dice of each region, as one line of text.

    Args:
        metrics: the content of reports/metrics.json.
    """
    means = [f"{region} {metrics['lesion_dice'][region]['mean']:.3f}" for region in REGIONS]
    return f"Dice lesion by lesion (BraTS 2023): {', '.join(means)}"
