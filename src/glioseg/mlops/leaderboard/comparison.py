"""The data from which the page's script compares two models: the metrics and pictures of every case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from glioseg.core.fingerprint import sha256_bytes
from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.evaluation.report import webp_uri
from glioseg.mlops.leaderboard.evaluations import EvaluatedModel
from glioseg.mlops.registry.versions import CHAMPION

MEASURES = {
    "dice": {"name": "Dice", "decimals": 3, "better": 1},
    "lesion_dice": {"name": "Lesion-wise Dice", "decimals": 3, "better": 1},
    "hd95_area_mm": {"name": "HD95, mm", "decimals": 1, "better": -1},
}
"""The metrics that the page compares; `better` is 1 where larger is better, −1 where smaller is better."""
MODELS_PER_BLOCK = 5
"""Block size: pictures of the newest models are embedded first, in blocks of this many models."""


@dataclass(frozen=True)
class Gallery:
    """Embedded pictures by hash, the hash for each run and case, and the number of pictures left out."""

    images: Mapping[str, str]
    hashes: Mapping[tuple[str, str], str]
    left_out: int


def comparable_models(test_sets: Sequence[Sequence[EvaluatedModel]]) -> list[list[EvaluatedModel]]:
    """The models that still have their table, for each test set with at least two of them."""
    with_table = [[model for model in models if not model.table.empty] for models in test_sets]
    return [models for models in with_table if len(models) > 1]


def comparison_data(test_sets: Sequence[Sequence[EvaluatedModel]], gallery: Gallery) -> dict[str, Any]:
    """All data for the page's script as JSON values.

    Args:
        test_sets: from `comparable_models`.
        gallery: their pictures.
    """
    return {
        "regions": list(REGIONS),
        "measures": MEASURES,
        "sets": [_set(models, gallery) for models in test_sets],
        "pair": _first_pair(test_sets[0]) if test_sets else None,
        "images": gallery.images,
    }


def label(model: EvaluatedModel) -> str:
    """One line that distinguishes a model from other models with the same network."""
    version = f"{model.versions[0]}, " if model.versions else ""
    return f"{version}{model.when:%Y-%m-%d %H:%M}, {model.name}"


def _set(models: Sequence[EvaluatedModel], gallery: Gallery) -> dict[str, Any]:
    cases = sorted(set().union(*(model.table["case"] for model in models)))
    return {
        "cases": cases,
        "models": [
            {
                "id": model.run_id,
                "label": label(model),
                "params": model.params,
                "values": {measure: values(model.table, measure, cases) for measure in MEASURES},
                "pictures": [
                    gallery.hashes.get((model.run_id, case)) if case in model.pictures else False
                    for case in cases
                ],
            }
            for model in models
        ],
    }


def values(table: pd.DataFrame, measure: str, cases: list[str]) -> list[list[float | None]]:
    """A metric of each case for WT, TC and ET; None if the table lacks it."""
    names = [column(measure, region) for region in REGIONS]
    rows = table.set_index("case").reindex(index=cases, columns=names).to_numpy(np.float64)
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


def _first_pair(models: Sequence[EvaluatedModel]) -> list[str]:
    """The initial selection: the champion, or else the second newest model; and the newest model."""
    newest, *others = models
    champions = [model for model in others if any(CHAMPION in version.aliases for version in model.versions)]
    return [(champions or others)[0].run_id, newest.run_id]


def fill_gallery(models: Sequence[EvaluatedModel], *, budget_bytes: int) -> Gallery:
    """Embed pictures up to a size limit, starting with the newest models and the cases on which they differ.

    Args:
        models: newest first, each with its table of cases.
        budget_bytes: the size limit.
    """
    images: dict[str, str] = {}
    hashes: dict[tuple[str, str], str] = {}
    blocks = [models[start : start + MODELS_PER_BLOCK] for start in range(0, len(models), MODELS_PER_BLOCK)]
    candidates = list(chain.from_iterable(map(_by_disagreement, blocks)))
    for model, case in candidates:
        path = model.pictures[case]
        key = sha256_bytes(path.read_bytes())[:16]
        if key not in images:
            picture = webp_uri(path)
            budget_bytes -= len(picture)
            if budget_bytes < 0:
                break
            images[key] = picture
        hashes[model.run_id, case] = key
    return Gallery(images, hashes, len(candidates) - len(hashes))


def _by_disagreement(models: Sequence[EvaluatedModel]) -> Iterator[tuple[EvaluatedModel, str]]:
    """Each model with each of its pictured cases; cases on which the models differ most come first."""
    dice: dict[tuple[str, str], list[float]] = {}
    for model in models:
        for case, mean in _mean_dice(model.table).items():
            dice.setdefault((model.test_set, str(case)), []).append(mean)
    for test_set, case in sorted(dice, key=lambda key: min(dice[key]) - max(dice[key])):
        for model in models:
            if model.test_set == test_set and case in model.pictures:
                yield model, case


def _mean_dice(table: pd.DataFrame) -> "pd.Series[float]":
    return table.set_index("case")[[column("dice", region) for region in REGIONS]].mean(axis=1)
