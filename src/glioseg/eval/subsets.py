"""What a model makes of incomplete scans: Dice with each of the 15 subsets of the four modalities."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from glioseg.data.cases import Case
from glioseg.data.layouts import MODALITIES, SEGMENTATION
from glioseg.data.scans import read_images
from glioseg.data.volumes import read_volume
from glioseg.eval.cases import Ask, dense_labels
from glioseg.eval.metrics import region_dice
from glioseg.eval.overlap import confusion
from glioseg.progress import track

Subset = tuple[str, ...]
SUBSETS: tuple[Subset, ...] = tuple(
    subset for size in range(1, len(MODALITIES) + 1) for subset in combinations(MODALITIES, size)
)
"""Every non-empty subset of the modalities, the smallest first."""


def subset_dice(answer: Ask, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Segment every case with every subset.

    Args:
        answer: e.g. `Segmenter.answer`.
        cases: with their four images and their segmentation.

    Returns:
        For each of `SUBSETS` its `modalities` and `dice` → the means over the cases for WT, TC, ET and
        `mean`, that of the three.
    """
    found: dict[Subset, list[dict[str, float]]] = {subset: [] for subset in SUBSETS}
    total = len(cases) * len(SUBSETS)
    for subset, dice in track(_each(answer, cases), title="modality subsets", total=total):
        found[subset].append(dice)
    return [{"modalities": list(subset), "dice": _means(rows)} for subset, rows in found.items()]


def _each(answer: Ask, cases: Sequence[Case]) -> Iterator[tuple[Subset, dict[str, float]]]:
    for case in cases:
        images = read_images(case)
        truth = dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme)
        for subset in SUBSETS:
            labels = answer({name: images[name] for name in subset}).labels
            yield subset, region_dice(confusion(truth, labels))


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    means = {region: float(np.mean([row[region] for row in rows])) for region in rows[0]}
    return means | {"mean": float(np.mean(list(means.values())))}
