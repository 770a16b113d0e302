"""The table of test Dice that a terminal shows."""

from typing import Any

from glioseg.core.labels import REGIONS
from glioseg.models.inference.prediction import percent


def dice_table(metrics: dict[str, Any]) -> str:
    """One line a region: mean, 95 % interval and median of Dice, mean HD95.

    Args:
        metrics: what reports/metrics.json holds.
    """
    lines = [f"{'test':6}{'Dice':>7}{'95 % interval':>18}{'median':>9}{'HD95, mm':>11}"]
    for region in REGIONS:
        dice, distance_mm = metrics["dice"][region], metrics["hd95_mm"][region]
        interval = f"{dice['low']:.3f} to {dice['high']:.3f}"
        lines.append(
            f"{region:6}{dice['mean']:7.3f}{interval:>18}{dice['median']:9.3f}{distance_mm['mean']:11.1f}"
        )
    return "\n".join(lines)


def interval_line(metrics: dict[str, Any]) -> str:
    """How often the intervals held the true volume of each region, beside the level; empty without any.

    Args:
        metrics: what reports/metrics.json holds.
    """
    if "volume_interval_level" not in metrics:
        return ""
    cases, level = metrics["cases"], metrics["volume_interval_level"]
    held = [
        f"{region} {round(share * cases)} of {cases}"
        for region, share in metrics["volume_interval_coverage"].items()
    ]
    return f"true volume in its {percent(level)} interval: {', '.join(held)}"


def lesion_line(metrics: dict[str, Any]) -> str:
    """The mean lesion-wise Dice of each region in one line.

    Args:
        metrics: what reports/metrics.json holds.
    """
    means = [f"{region} {metrics['lesion_dice'][region]['mean']:.3f}" for region in REGIONS]
    return f"Dice lesion by lesion (BraTS 2023): {', '.join(means)}"
