"""What the images of a case show together: the modality of each, and the intensities of the labels."""

from collections.abc import Mapping
from typing import Any

from glioseg.core.brain import brain_mask
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import Volume
from glioseg.data.quality.label_intensities import measure_label_intensities
from glioseg.data.quality.modality_order import describe_order, likeliest_modalities

Fields = dict[str, Any]
"""Fields of `VolumeStatistics` by name."""


def compare_images(volumes: Mapping[str, Volume], fields: Mapping[str, Fields]) -> dict[str, Fields]:
    """The order of the images and the intensities of the labels, of a case on one grid.

    Images with infinite or missing voxels, or without contrast, do not count.
    """
    usable = {
        role: volumes[role]
        for role, own in fields.items()
        if own.get("spacing_mm") and own.get("nan_vox") == own.get("infinite_vox") == 0
    }
    arrays = {role: volume.grid.to_lps(volume.data) for role, volume in usable.items()}
    images = {
        role: arrays[role] for role in MODALITIES if role in arrays and fields[role].get("brain_deviation")
    }
    if not images or len({array.shape for array in arrays.values()}) > 1:
        return {}
    brain = brain_mask(images.values())
    found = {}
    spacing_mm = next(iter(usable.values())).grid.lps_spacing_mm
    if order := likeliest_modalities(images, brain, spacing_mm):
        modalities, log_odds = order
        if changed := [role for role, modality in modalities.items() if role != modality]:
            found[changed[0]] = {"order": describe_order(modalities), "order_log_odds": log_odds}
    if SEGMENTATION in arrays:
        measured = measure_label_intensities(images, arrays[SEGMENTATION], brain)
        found[SEGMENTATION] = {"label_intensities": measured}
    return found
