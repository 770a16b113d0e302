"""The leaderboard's rows: numbers of each model, and how it came to be."""

from collections.abc import Sequence
from dataclasses import dataclass

from glioseg.core.labels import REGIONS
from glioseg.mlops.leaderboard.evaluations import Evaluated
from glioseg.mlops.tracking.fingerprints import UNKNOWN

SHORT = 8  # characters of a hash that a person can compare


@dataclass(frozen=True)
class Number:
    """A column of numbers: its heading, MLflow's name of the metric, decimals, and which end is better."""

    heading: str
    metric: str
    decimals: int = 3
    lower_is_better: bool = False


NUMBERS: dict[str, tuple[Number, ...]] = {
    "Dice": (
        Number("mean", "mean_dice/mean"),
        *(Number(region, f"dice/{region}/mean") for region in REGIONS),
    ),
    "Dice lesion by lesion": tuple(Number(region, f"lesion_dice/{region}/mean") for region in REGIONS),
    "HD95, mm": tuple(
        Number(region, f"hd95_mm/{region}/mean", decimals=1, lower_is_better=True) for region in REGIONS
    ),
}
"""Groups of columns: each a mean over the test cases."""

FACTS = ("registered", "preset", "training run", "data", "commit", "tested")
"""What is told of a model's origin."""


@dataclass(frozen=True)
class Cell:
    """One number: `text` is what is shown, `value` what sorts, None where it was not logged."""

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True)
class Fact:
    """A thing known of a model's origin; `whole` is a hash that `text` has the beginning of."""

    text: str
    whole: str = ""


@dataclass(frozen=True)
class Row:
    """A model in the leaderboard: its numbers, and its `FACTS`."""

    model: Evaluated
    cells: Sequence[Cell]
    facts: Sequence[Fact]


def leaderboard(models: Sequence[Evaluated]) -> list[Row]:
    """Rows of models that were tested on the same cases, the best mean Dice first."""
    columns = [_cells(number, models) for numbers in NUMBERS.values() for number in numbers]
    rows = [
        Row(model, cells, _facts(model))
        for model, cells in zip(models, zip(*columns, strict=True), strict=True)
    ]
    return sorted(
        rows, key=lambda row: -1 if row.cells[0].value is None else row.cells[0].value, reverse=True
    )


def _cells(number: Number, models: Sequence[Evaluated]) -> list[Cell]:
    values = [model.metrics.get(number.metric) for model in models]
    known = [value for value in values if value is not None]
    best = (min if number.lower_is_better else max)(known, default=None)
    return [
        Cell(None, "–", best=False)
        if value is None
        else Cell(value, f"{value:.{number.decimals}f}", best=value == best and len(models) > 1)
        for value in values
    ]


def _facts(model: Evaluated) -> list[Fact]:
    tags = model.tags
    run, commit = tags.get("trained_run", ""), tags.get("git_commit", UNKNOWN)
    dirty = " + changes" if tags.get("git_dirty") == "true" else ""
    return [
        Fact(", ".join(map(str, model.versions)) or "no"),
        Fact(tags.get("preset", UNKNOWN)),
        Fact(f"{run[:SHORT]} {model.training}".strip(), run),
        Fact(model.data[:SHORT], model.data),
        Fact(f"{commit[:SHORT]}{dirty}", commit),
        Fact(f"{model.when:%Y-%m-%d %H:%M}"),
    ]
