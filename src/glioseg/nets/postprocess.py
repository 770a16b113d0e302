"""What is done to labels after the network: small enhancing specks are taken for core."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.labels import Label

LabelMap = UInt8[NDArray, "d h w"]


def drop_small_et(labels: LabelMap, *, min_et_ml: float, voxel_ml: float) -> LabelMap:
    """Relabel enhancing tumour as necrotic core where there is less of it than `min_et_ml`.

    A few enhancing voxels in a tumour that does not enhance are nearly always false, and BraTS scores
    them with Dice 0 (Isensee et al. 2021, "nnU-Net for Brain Tumor Segmentation").

    Args:
        labels: dense labels of a whole case.
        min_et_ml: smallest volume that counts.
        voxel_ml: volume of a voxel.

    >>> drop_small_et(np.array([[[3, 3, 2]]], np.uint8), min_et_ml=0.2, voxel_ml=0.05).tolist()
    [[[1, 1, 2]]]
    """
    enhancing = labels == Label.ET
    if enhancing.sum() * voxel_ml >= min_et_ml:
        return labels
    return np.where(enhancing, np.uint8(Label.NCR), labels)


def choose_min_et_ml(
    pairs: Iterable[tuple[LabelMap, LabelMap]], *, choices: Sequence[float], voxel_ml: float
) -> float:
    """The smallest enhancing volume with the best mean ET Dice; on a tie the largest.

    Args:
        pairs: truth and answer of each validation case, dense labels.
        choices: volumes to choose from, in ml.
        voxel_ml: volume of a voxel.
    """
    scores = np.array(
        [
            [
                _et_dice(truth, drop_small_et(answer, min_et_ml=choice, voxel_ml=voxel_ml))
                for choice in choices
            ]
            for truth, answer in pairs
        ]
    ).mean(axis=0)
    return max(choice for choice, score in zip(choices, scores, strict=True) if score == scores.max())


def _et_dice(truth: LabelMap, answer: LabelMap) -> float:
    """Dice of ET; 1 where both are empty."""
    one, other = truth == Label.ET, answer == Label.ET
    size = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / size if size else 1.0
