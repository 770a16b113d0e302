"""What is done to labels after the network: small pieces are taken for false."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.labels import Label

LabelMap = UInt8[NDArray, "d h w"]
TOUCHING = np.ones((3, 3, 3), bool)
"""26-connectivity: voxels that share a corner are one piece, as in BraTS 2023."""


def clean(labels: LabelMap, *, min_component_ml: float, min_et_ml: float, voxel_ml: float) -> LabelMap:
    """Drop small pieces of tumour first, then what little enhancing tumour is left."""
    kept = drop_small_components(labels, min_component_ml=min_component_ml, voxel_ml=voxel_ml)
    return drop_small_et(kept, min_et_ml=min_et_ml, voxel_ml=voxel_ml)


def drop_small_components(labels: LabelMap, *, min_component_ml: float, voxel_ml: float) -> LabelMap:
    """Take for background each connected piece of whole tumour smaller than `min_component_ml`.

    Args:
        labels: dense labels of a whole case.
        min_component_ml: smallest volume that counts.
        voxel_ml: volume of a voxel.

    >>> labels = np.array([[[2, 0, 1, 3]]], np.uint8)
    >>> drop_small_components(labels, min_component_ml=0.2, voxel_ml=0.1).tolist()
    [[[0, 0, 1, 3]]]
    """
    if min_component_ml <= voxel_ml:
        return labels
    pieces, _ = ndimage.label(labels != Label.BACKGROUND, structure=TOUCHING)
    large = np.bincount(pieces.ravel()) * voxel_ml >= min_component_ml
    return np.where(large[pieces], labels, np.uint8(Label.BACKGROUND))


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


def choose_sizes(
    dice: Float64[NDArray, "components ets"], *, components: Sequence[float], ets: Sequence[float]
) -> tuple[float, float]:
    """The pair of smallest volumes with the best Dice.

    On a tie the larger `min_et_ml`, since a speck that helps no case is likelier false than true; then
    the smaller `min_component_ml`, which leaves more of the network's answer as it is.

    Args:
        dice: mean over cases and regions, for each choice of `min_component_ml` and of `min_et_ml`.
        components: the choices of `min_component_ml`.
        ets: the choices of `min_et_ml`.

    >>> choose_sizes(np.array([[0.5, 0.5], [0.5, 0.5]]), components=(0.0, 0.1), ets=(0.0, 0.2))
    (0.0, 0.2)
    """
    best = np.argwhere(dice == dice.max())
    et, component = max((ets[e], -components[c]) for c, e in best)
    return (-component + 0.0, et)
