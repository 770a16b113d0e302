"""Dice for incomplete scans: with each of the 15 non-empty subsets of the four modalities."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from glioseg.compute import Cluster
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.core.progress import track
from glioseg.data.cohort.cases import Case, read_images
from glioseg.data.store.grids import on_first_grid
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion_matrix
from glioseg.evaluation.per_case import dense_labels
from glioseg.models.inference.prediction import CaseModel

Subset = tuple[str, ...]
SUBSETS: tuple[Subset, ...] = tuple(
    subset for size in range(1, len(MODALITIES) + 1) for subset in combinations(MODALITIES, size)
)
"""Every non-empty subset of the modalities, the smallest first."""


def subset_dice(
    model: CaseModel, cases: Sequence[Case], *, cluster: Cluster | None = None
) -> list[dict[str, Any]]:
    """The mean Dice of cases with every subset of the modalities.

    Args:
        model: as for `per_case.predict_cases`.
        cases: cases with their four images and their segmentation.
        cluster: as for `per_case.predict_cases`.

    Returns:
        For each of `SUBSETS` its `modalities`, and `dice` → the means over the cases for WT, TC, ET, and
        their `mean`.
    """
    title = "modality subsets"
    if cluster:
        rows = cluster.map(partial(_case_dice, model=model), cases, title=title, gpu=True)
        dice_of_all = [dice for row in rows for dice in row]
    else:
        total = len(cases) * len(SUBSETS)
        each = (dice for case in cases for dice in _dice_by_subset(case, model))
        dice_of_all = list(track(each, title=title, total=total))
    by_subset = [(subset, dice_of_all[place :: len(SUBSETS)]) for place, subset in enumerate(SUBSETS)]
    return [{"modalities": list(subset), "dice": _means(dice)} for subset, dice in by_subset]


def _case_dice(case: Case, *, model: CaseModel) -> list[dict[str, float]]:
    return list(_dice_by_subset(case, model))


def _dice_by_subset(case: Case, model: CaseModel) -> Iterator[dict[str, float]]:
    """Dice with each of `SUBSETS`."""
    predict, images = model.predict, on_first_grid(read_images(case))
    grid = next(iter(images.values())).grid
    truth = dense_labels(read_volume(case.files[SEGMENTATION]).turned_to(grid), case.scheme)
    for subset in SUBSETS:
        labels = predict({name: images[name] for name in subset}).labels
        yield region_dice(confusion_matrix(truth, labels))


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    means = {region: float(np.mean([row[region] for row in rows])) for region in rows[0]}
    return means | {"mean": float(np.mean(list(means.values())))}
