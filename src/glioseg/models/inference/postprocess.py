"""Post-processing from probabilities to labels: threshold, fill the tumour core, remove small components."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.labels import REGIONS, Label, labels_from_regions
from glioseg.models.inference.calibration import apply_temperature
from glioseg.models.inference.forward import NetworkOutput
from glioseg.models.inference.quality_estimation import ExpectedDice, expected_dice

if TYPE_CHECKING:
    from glioseg.models.inference.model_settings import Settings

LabelMap = UInt8[NDArray, "d h w"]
CONNECTIVITY_26 = np.ones((3, 3, 3), bool)
"""Voxels that share a corner belong to one component, as in BraTS 2023."""


def final_labels(regions: Float32[NDArray, "d h w 3"], settings: "Settings", *, voxel_ml: float) -> LabelMap:
    """The final label map of a network's probabilities.

    Args:
        regions: probabilities of WT, TC and ET, 0 outside the brain.
        settings: settings with the threshold and the sizes that calibration chose.
        voxel_ml: volume of a voxel.
    """
    return remove_small_parts(
        threshold_regions(regions, settings.threshold),
        min_component_ml=settings.min_component_ml,
        min_et_ml=settings.min_et_ml,
        voxel_ml=voxel_ml,
    )


def labels_and_expected_dice(
    image: Float32[NDArray, "d h w 4"], output: NetworkOutput, settings: "Settings"
) -> tuple[LabelMap, ExpectedDice]:
    """The final labels of a crop on the network's own grid, and their expected Dice.

    Args:
        image: the input of the network.
        output: output of the network, before temperature scaling.
        settings: settings of the post-processing, and the temperatures.
    """
    brain, voxel_ml = brain_mask_of_channels(image), settings.spacing_mm**3 / 1000
    inside = np.where(brain[..., np.newaxis], output.regions, np.float32(0))
    labels = final_labels(inside, settings, voxel_ml=voxel_ml)
    calibrated = apply_temperature(output.regions[brain], settings.temperature)
    return labels, expected_dice(labels[brain], calibrated, pass_ml=output.pass_volumes * voxel_ml)


def threshold_regions(regions: Float32[NDArray, "d h w 3"], threshold: float) -> LabelMap:
    """Labels of the regions at or above the threshold, with the tumour core filled."""
    return fill_core(labels_from_regions(regions, threshold))


def fill_core(labels: LabelMap) -> LabelMap:
    """Relabel as necrotic core the oedema that tumour core encloses in a slice, along any axis.

    Raters count everything that the enhancing rim encloses as core (Baid et al. 2021). A network may mistake
    the inside of a tumour of unfamiliar texture for oedema.

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
    """Holes of the mask within slices, along any of the three axes."""
    inside = np.zeros(mask.shape, bool)
    cross = ndimage.generate_binary_structure(2, 1)
    for axis in range(3):
        within = np.expand_dims(cross, axis)
        margin = [(0, 0) if each == axis else (1, 1) for each in range(3)]
        filled = ndimage.binary_fill_holes(np.pad(mask, margin), structure=within)
        inside |= filled[tuple(slice(low, -high or None) for low, high in margin)]
    return np.asarray(inside & ~mask)


def remove_small_parts(
    labels: LabelMap, *, min_component_ml: float, min_et_ml: float, voxel_ml: float
) -> LabelMap:
    """Remove small components of tumour, and then enhancing tumour if its remaining volume is small."""
    large = drop_small_components(labels, min_component_ml=min_component_ml, voxel_ml=voxel_ml)
    return drop_small_et(large, min_et_ml=min_et_ml, voxel_ml=voxel_ml)


def drop_small_components(labels: LabelMap, *, min_component_ml: float, voxel_ml: float) -> LabelMap:
    """Relabel as background each connected component of whole tumour smaller than `min_component_ml`.

    Args:
        labels: dense labels of a whole case.
        min_component_ml: smallest volume that is kept.
        voxel_ml: volume of a voxel.

    >>> labels = np.array([[[2, 0, 1, 3]]], np.uint8)
    >>> drop_small_components(labels, min_component_ml=0.2, voxel_ml=0.1).tolist()
    [[[0, 0, 1, 3]]]
    """
    if min_component_ml <= voxel_ml:
        return labels
    components, _ = ndimage.label(labels != Label.BACKGROUND, structure=CONNECTIVITY_26)
    large = np.bincount(components.ravel()) * voxel_ml >= min_component_ml
    return np.where(large[components], labels, np.uint8(Label.BACKGROUND))


def drop_small_et(labels: LabelMap, *, min_et_ml: float, voxel_ml: float) -> LabelMap:
    """Relabel enhancing tumour as necrotic core where its volume is below `min_et_ml`.

    A few enhancing voxels in a tumour that does not enhance are nearly always false positives, and BraTS
    scores them with Dice 0 (Isensee et al. 2021, "nnU-Net for Brain Tumor Segmentation").

    Args:
        labels: dense labels of a whole case.
        min_et_ml: smallest volume that is kept.
        voxel_ml: volume of a voxel.

    >>> drop_small_et(np.array([[[3, 3, 2]]], np.uint8), min_et_ml=0.2, voxel_ml=0.05).tolist()
    [[[1, 1, 2]]]
    """
    enhancing = labels == Label.ET
    if enhancing.sum() * voxel_ml >= min_et_ml:
        return labels
    return np.where(enhancing, np.uint8(Label.NCR), labels)
