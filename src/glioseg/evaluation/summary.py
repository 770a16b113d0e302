"""Summary of the metrics over cases: mean, median and bootstrap interval of the mean, also as text.

This module does not import pandas, so that the stage `register` starts in a second.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import CASE_METRICS, METRICS, REGION_METRICS, STRUCTURES, column
from glioseg.models.inference.prediction import percent

if TYPE_CHECKING:
    import pandas

COVERAGE_PERCENT = 95.0
HEADLINE = ("dice", "lesion_dice", "hd95_area_mm")


@dataclass(frozen=True)
class Summary:
    """One metric over cases; `low` and `high` are the ends of the 95 % bootstrap interval of the mean."""

    mean: float
    median: float
    low: float
    high: float


def bootstrap(values: Float[NDArray, "cases columns"], *, samples: int, seed: int) -> list[Summary]:
    """Summarise each column by the percentile bootstrap of its mean (Efron 1979).

    Whole cases are resampled with replacement, and all columns share the samples. With few cases the interval
    is too narrow, since the sample contains little of the variation between cases.

    Args:
        values: one row for each case; finite.
        samples: number of bootstrap samples.
        seed: seed of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no case, or a value that is not finite.

    >>> bootstrap(np.full((5, 1), 0.5), samples=100, seed=0)
    [Summary(mean=0.5, median=0.5, low=0.5, high=0.5)]
    """
    means = bootstrap_means(values, samples=samples, seed=seed)
    tail = (100 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    columns = zip(values.mean(axis=0), np.median(values, axis=0), low, high, strict=True)
    return [Summary(*(float(number) for number in numbers)) for numbers in columns]


def bootstrap_means(
    values: Float[NDArray, "cases columns"], *, samples: int, seed: int
) -> Float[NDArray, "samples columns"]:
    """The mean of each column in each bootstrap sample; see `bootstrap`."""
    if len(values) == 0:
        raise ValueError("bootstrap: expected at least one case, got none")
    if not np.isfinite(values).all():
        raise ValueError("bootstrap: expected finite values, got NaN or infinity")
    draws = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    means: NDArray[np.float64] = values[draws].mean(axis=1)
    return means


def summarise(table: "pandas.DataFrame", *, samples: int, seed: int) -> dict[str, Any]:
    """The content of `metrics.json` for a table of cases.

    Args:
        table: one row for each case, with the columns of `per_case.measure_cases`.
        samples: number of bootstrap samples.
        seed: seed of the bootstrap.

    Returns:
        `cases`, their number; `<metric>` → `<structure>` → the fields of a `Summary`; each of
        `CASE_METRICS` → the same fields; and the entries of `interval_scores`.
    """
    regional = (*REGION_METRICS, "calibration_error")
    measured = dict.fromkeys(METRICS, STRUCTURES) | dict.fromkeys(regional, REGIONS)
    names = [column(metric, structure) for metric, structures in measured.items() for structure in structures]
    names += CASE_METRICS
    values = table[names].to_numpy(np.float64)
    numbers = dict(zip(names, map(asdict, bootstrap(values, samples=samples, seed=seed)), strict=True))
    summary: dict[str, Any] = {"cases": len(table)}
    for metric, structures in measured.items():
        summary[metric] = {name: numbers[column(metric, name)] for name in structures}
    return summary | {name: numbers[name] for name in CASE_METRICS} | interval_scores(table)


def interval_scores(table: "pandas.DataFrame") -> dict[str, Any]:
    """Nominal level and actual coverage of the volume intervals.

    Args:
        table: one row for each case, with the columns of `per_case.measure_cases`.

    Returns:
        `volume_interval_level`, a probability; `volume_interval_coverage` → region → the share of cases.
        Empty for a model without intervals.
    """
    if "interval_level" not in table:
        return {}
    return {
        "volume_interval_level": float(table["interval_level"].iloc[0]),
        "volume_interval_coverage": {region: interval_coverage(table, region) for region in REGIONS},
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The few means that compare two models in the columns of `dvc exp show`.

    Args:
        metrics: as from `summarise`.

    Returns:
        `mean_dice`, and each of `HEADLINE` by region.
    """
    means = {metric: {region: metrics[metric][region]["mean"] for region in REGIONS} for metric in HEADLINE}
    return {"mean_dice": metrics["mean_dice"]["mean"]} | means


def interval_coverage(table: "pandas.DataFrame", region: str) -> float:
    """The share of cases whose true volume lies in the prediction interval, including its ends.

    Args:
        table: one row for each case, with the columns `truth_<region>_ml`, `low_<region>_ml`,
            `high_<region>_ml`.
        region: WT, TC or ET.
    """
    truth, low, high = (table[column(name, region)] for name in ("truth_ml", "low_ml", "high_ml"))
    return float(truth.between(low, high).mean())


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
