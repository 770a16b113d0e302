"""Pictures for one page: each different one once, as WebP, within a budget."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.evaluation.report import webp_uri
from glioseg.mlops.leaderboard.evaluations import Evaluated
from glioseg.mlops.tracking.fingerprints import sha256

MODELS_AT_ONCE = 5
"""So many of the newest models get their pictures before older ones get any."""


@dataclass(frozen=True)
class Gallery:
    """`images`: a picture to each hash; `hashes`: its hash to each run and case; `left_out`: how many."""

    images: Mapping[str, str]
    hashes: Mapping[tuple[str, str], str]
    left_out: int


def fill_gallery(models: Sequence[Evaluated], *, budget_bytes: int) -> Gallery:
    """Take pictures until the budget is spent: of the newest models, and where these differ, first.

    Args:
        models: newest first, each with its table of cases.
        budget_bytes: how much room the pictures may take in the page.
    """
    images: dict[str, str] = {}
    hashes: dict[tuple[str, str], str] = {}
    blocks = [models[start : start + MODELS_AT_ONCE] for start in range(0, len(models), MODELS_AT_ONCE)]
    wanted = list(chain.from_iterable(map(_in_order, blocks)))
    for model, case in wanted:
        path = model.pictures[case]
        key = sha256(path.read_bytes())[:16]
        if key not in images:
            picture = webp_uri(path)
            budget_bytes -= len(picture)
            if budget_bytes < 0:
                break
            images[key] = picture
        hashes[model.run_id, case] = key
    return Gallery(images, hashes, len(wanted) - len(hashes))


def _in_order(models: Sequence[Evaluated]) -> Iterator[tuple[Evaluated, str]]:
    """Each model with each case that it has a picture of; cases on which they differ most come first."""
    dice: dict[tuple[str, str], list[float]] = {}
    for one in models:
        for case, mean in _mean_dice(one.table).items():
            dice.setdefault((one.test_set, str(case)), []).append(mean)
    for test_set, case in sorted(dice, key=lambda key: min(dice[key]) - max(dice[key])):
        for one in models:
            if one.test_set == test_set and case in one.pictures:
                yield one, case


def _mean_dice(table: pd.DataFrame) -> "pd.Series[float]":
    return table.set_index("case")[[column("dice", region) for region in REGIONS]].mean(axis=1)
