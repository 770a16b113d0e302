"""What the page's script compares two models by: every number of every case."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.mlops.leaderboard.evaluations import Evaluated
from glioseg.mlops.leaderboard.pictures import Gallery

MEASURES = {
    "dice": {"name": "Dice", "decimals": 3, "better": 1},
    "lesion_dice": {"name": "Dice lesion by lesion", "decimals": 3, "better": 1},
    "hd95_mm": {"name": "HD95, mm", "decimals": 1, "better": -1},
}
"""By what cases can be compared; `better` 1 where more is better, −1 where less is."""


def comparable(test_sets: Sequence[Sequence[Evaluated]]) -> list[list[Evaluated]]:
    """Of each test set the models whose table is there, where there are two at least."""
    found = [[model for model in models if not model.table.empty] for models in test_sets]
    return [models for models in found if len(models) > 1]


def comparison(test_sets: Sequence[Sequence[Evaluated]], gallery: Gallery) -> dict[str, Any]:
    """Everything that the script needs, as JSON-like values.

    Args:
        test_sets: as from `comparable`.
        gallery: their pictures.
    """
    return {
        "regions": list(REGIONS),
        "measures": MEASURES,
        "sets": [_set(models, gallery) for models in test_sets],
        "pair": _first_pair(test_sets[0]) if test_sets else None,
        "images": gallery.images,
    }


def label(model: Evaluated) -> str:
    """A model in one line, so that a person can tell it from others with the same network."""
    version = f"{model.versions[0]}, " if model.versions else ""
    return f"{version}{model.when:%Y-%m-%d %H:%M}, {model.name}"


def _set(models: Sequence[Evaluated], gallery: Gallery) -> dict[str, Any]:
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
    """A measure of each case in WT, TC and ET; None where the table does not have it."""
    names = [column(measure, region) for region in REGIONS]
    rows = table.set_index("case").reindex(index=cases, columns=names).to_numpy(np.float64)
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


def _first_pair(models: Sequence[Evaluated]) -> list[str]:
    """What is compared at first: the newest model with the champion, or with the one before it."""
    newest, *others = models
    champions = [one for one in others if any("champion" in version.aliases for version in one.versions)]
    return [(champions or others)[0].run_id, newest.run_id]
