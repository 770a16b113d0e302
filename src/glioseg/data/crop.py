"""Crop to the brain, normalise, and the exact way back to the scan's own grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Num, UInt8
from numpy.typing import NDArray

from glioseg.data.cases import MODALITIES
from glioseg.data.volumes import Grid, Volume
from glioseg.geometry import Box, bounding_box, paste


@dataclass(frozen=True)
class Placement:
    """Where a crop lies: `box` in voxels of the scan brought to LPS, `grid` the scan's own."""

    grid: Grid
    box: Box


def crop_images(
    images: Mapping[str, Volume], *, margin_vox: int
) -> tuple[Float32[NDArray, "d h w 4"], Placement]:
    """Crop the four images of a case to the brain and normalise them.

    The box is that of the non-zero voxels over the images, never of the segmentation: at prediction
    time there is none.

    Args:
        images: a volume for each of `MODALITIES`, all on one grid.
        margin_vox: voxels added around the brain, inside the grid.

    Returns:
        (D, H, W, 4) float32 in LPS, channels in the order of `MODALITIES`: each has mean 0 and
        standard deviation 1 inside the brain and is 0 outside; and where the crop lies.

    Raises:
        ValueError: grids differ, or no voxel is non-zero.
    """
    grid = images[MODALITIES[0]].grid
    for name in MODALITIES:
        if images[name].grid.shape != grid.shape:
            raise ValueError(f"{name}: expected shape {grid.shape}, got {images[name].grid.shape}")
    arrays = [grid.to_lps.apply(images[name].data) for name in MODALITIES]
    brain = np.logical_or.reduce([array != 0 for array in arrays])
    box = bounding_box(brain, margin_vox)
    inside = brain[box.slices]
    normal = [zscore(array[box.slices], inside) for array in arrays]
    return np.stack(normal, axis=-1), Placement(grid, box)


def crop_labels(labels: UInt8[NDArray, "d h w"], placement: Placement) -> UInt8[NDArray, "e i x"]:
    """Cut a label map on the scan's own grid to the crop, in LPS."""
    return np.ascontiguousarray(placement.grid.to_lps.apply(labels)[placement.box.slices])


def uncrop(crop: Num[NDArray, "e i x *c"], placement: Placement) -> Num[NDArray, "d h w *c"]:
    """Put a crop back on the scan's own grid and orientation, with zeros around it."""
    reorientation = placement.grid.to_lps
    d, h, w = (placement.grid.shape[i] for i in reorientation.order)
    return np.ascontiguousarray(reorientation.undo(paste(crop, placement.box, (d, h, w))))


def zscore(image: Num[NDArray, "d h w"], brain: Bool[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """Shift and scale to mean 0 and standard deviation 1 inside the brain; 0 outside.

    A constant image becomes 0 everywhere.
    """
    values = image[brain].astype(np.float64)
    scale = values.std() or 1.0
    normal = np.zeros(image.shape, np.float32)
    normal[brain] = (values - values.mean()) / scale
    return normal
