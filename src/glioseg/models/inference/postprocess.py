"""From probabilities to labels: a threshold, cores without oedema in them, and no small pieces."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.labels import REGIONS, Label, labels_from_regions
from glioseg.models.inference.calibration import calibrate
from glioseg.models.inference.quality_estimation import Belief, believe

if TYPE_CHECKING:
    from glioseg.models.inference.model_settings import Settings

LabelMap = UInt8[NDArray, "d h w"]
TOUCHING = np.ones((3, 3, 3), bool)
"""26-connectivity: voxels that share a corner are one piece, as in BraTS 2023."""


def final_labels(regions: Float32[NDArray, "d h w 3"], settings: "Settings", *, voxel_ml: float) -> LabelMap:
    """The labels that a network's probabilities come to.

    Args:
        regions: probabilities of WT, TC and ET, 0 outside the brain.
        settings: what validation chose.
        voxel_ml: volume of a voxel.
    """
    return clean(
        decide(regions, settings.threshold),
        min_component_ml=settings.min_component_ml,
        min_et_ml=settings.min_et_ml,
        voxel_ml=voxel_ml,
    )


def belief_of(
    image: Float32[NDArray, "d h w 4"], regions: Float32[NDArray, "d h w 3"], settings: "Settings"
) -> tuple[Belief, LabelMap]:
    """The belief in what was found in a crop, and its final labels, both on the network's own grid.

    Args:
        image: what the network saw.
        regions: probabilities that it answered, not calibrated yet.
        settings: say how answers are cleaned and calibrated.
    """
    brain: NDArray[np.bool_] = np.logical_or.reduce(image != 0, axis=-1)
    seen = np.where(brain[..., np.newaxis], regions, np.float32(0))
    labels = final_labels(seen, settings, voxel_ml=settings.spacing_mm**3 / 1000)
    return believe(labels[brain], calibrate(regions[brain], settings.temperature)), labels


def decide(regions: Float32[NDArray, "d h w 3"], threshold: float) -> LabelMap:
    """Labels where probabilities pass the threshold, and no oedema in a core."""
    return fill_core(labels_from_regions(regions, threshold))


def fill_core(labels: LabelMap) -> LabelMap:
    """Relabel as necrotic core the oedema that tumour core encloses in a slice, along any axis.

    Raters draw the core as all that the enhancing rim encloses (Baid et al. 2021). A network that does
    not know such a tumour by its texture may take its inside for oedema.

    Args:
        labels: dense labels of a whole case.

    >>> fill_core(np.array([[[3, 3, 3], [3, 2, 3], [3, 3, 3]]], np.uint8)).tolist()
    [[[3, 3, 3], [3, 1, 3], [3, 3, 3]]]
    """
    core = np.isin(labels, REGIONS["TC"])
    boxes = ndimage.find_objects(core.astype(np.uint8))
    if not boxes:
        return labels
    inside = np.zeros(labels.shape, bool)
    inside[boxes[0]] = _enclosed(core[boxes[0]])
    return np.where(inside & (labels == Label.ED), np.uint8(Label.NCR), labels)


def _enclosed(mask: Bool[NDArray, "d h w"]) -> Bool[NDArray, "d h w"]:
    """What no path within a slice leads out of, for slices along one of the axes."""
    inside = np.zeros(mask.shape, bool)
    cross = ndimage.generate_binary_structure(2, 1)
    for axis in range(3):
        within = np.expand_dims(cross, axis)
        margin = [(0, 0) if each == axis else (1, 1) for each in range(3)]
        filled = ndimage.binary_fill_holes(np.pad(mask, margin), structure=within)
        inside |= filled[tuple(slice(low, -high or None) for low, high in margin)]
    return np.asarray(inside & ~mask)


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


def choose(
    dice: Float64[NDArray, "thresholds components ets"],
    *,
    thresholds: Sequence[float],
    components: Sequence[float],
    ets: Sequence[float],
) -> tuple[float, float, float]:
    """The threshold, `min_component_ml` and `min_et_ml` with the best Dice.

    On a tie the larger `min_et_ml`, since a speck that helps no case is likelier false than true; then
    the smaller `min_component_ml`, which leaves more of the network's answer as it is; then the threshold
    nearest to 0.5.

    Args:
        dice: mean over cases and regions, for each choice of the three.
        thresholds: the choices of the threshold.
        components: the choices of `min_component_ml`.
        ets: the choices of `min_et_ml`.

    >>> choose(np.full((2, 2, 2), 0.5), thresholds=(0.3, 0.5), components=(0.0, 0.1), ets=(0.0, 0.2))
    (0.5, 0.0, 0.2)
    """
    tied = [
        choice
        for choice, mean in zip(product(thresholds, components, ets), dice.ravel(), strict=True)
        if mean == dice.max()
    ]
    return max(tied, key=lambda choice: (choice[2], -choice[1], -abs(choice[0] - 0.5)))
