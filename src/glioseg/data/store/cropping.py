"""Crop a case to the brain, normalise and downsample it, and paste a crop back into the scan's grid."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float16, Float32, Num, UInt8
from numpy.typing import NDArray

from glioseg.core.brain import brain_mask
from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json
from glioseg.core.float16 import float32_to_float16
from glioseg.core.geometry import AFFINE_TOLERANCE_MM, Box, bounding_box, downsample, paste
from glioseg.core.labels import labels_from_regions, regions_from_labels
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.grids import common_grid

PLACEMENT = "placement.json"
MAX_SQUARED = 1e18
"""The squares of larger intensities overflow single precision."""


class CropError(GliosegError):
    """A scan or the placement of a crop is missing or invalid; the message names it."""


@dataclass(frozen=True)
class Placement:
    """Position of a crop in its scan.

    Attributes:
        grid: grid of the scan.
        box: box of the crop, in voxels of the scan in LPS orientation.
        affine_tolerance: largest accepted difference between the affines of the case's volumes and of `grid`.
    """

    grid: Grid
    box: Box
    affine_tolerance: float = AFFINE_TOLERANCE_MM

    @classmethod
    def load(cls, folder: Path) -> "Placement":
        """The placement that `save` wrote to the folder of a stored case.

        Raises:
            FileError: placement.json is not readable, or not JSON.
            CropError: its content is not a placement.
        """
        record = read_json(folder / PLACEMENT)
        try:
            grid = Grid(tuple(record["shape"]), np.array(record["affine"], np.float64))
            box = Box(tuple(record["start"]), tuple(record["stop"]))
            return cls(grid, box, record["affine_tolerance"])
        except (LookupError, TypeError, ValueError) as error:
            raise CropError(f"{folder / PLACEMENT}: not the placement of a crop: {error!r}") from None

    def save(self, folder: Path) -> None:
        """Write placement.json to the folder."""
        grid = {"shape": self.grid.shape, "affine": self.grid.affine.tolist()}
        record = {**grid, **asdict(self.box), "affine_tolerance": self.affine_tolerance}
        (folder / PLACEMENT).write_text(json.dumps(record))


def crop_and_normalise(
    images: Mapping[str, Volume], *, margin_vox: int, affine_tolerance: float = AFFINE_TOLERANCE_MM
) -> tuple[Float32[NDArray, "d h w 4"], Placement]:
    """The normalised crop of a case to its brain, and the placement of the crop.

    The box contains the voxels that are not 0 in some image. The segmentation is not used, because there is
    none at prediction time.

    Args:
        images: volumes of all or some of `MODALITIES`, on one grid; a segmentation must lie on that grid too.
        margin_vox: voxels added around the brain, inside the grid.
        affine_tolerance: largest accepted difference from the affine of the first image, as contract.yaml
            sets it.

    Returns:
        (D, H, W, 4) float32 in LPS, channels in the order of `MODALITIES`, and the placement. Each channel
        has mean 0 and standard deviation 1 inside the brain and is 0 outside; the channel of a missing
        modality is 0 everywhere.

    Raises:
        GridError: no modality is given, or grids differ.
        GliosegError: all voxels are 0.
    """
    placement = place_crop(images, margin_vox=margin_vox, affine_tolerance=affine_tolerance)
    return normalise_images(crop_volumes(images, placement)), placement


def place_crop(
    images: Mapping[str, Volume], *, margin_vox: int, affine_tolerance: float = AFFINE_TOLERANCE_MM
) -> Placement:
    """The placement of the crop to the brain; see `crop_and_normalise`."""
    grid = common_grid(images, tolerance=affine_tolerance)
    in_lps = [grid.to_lps(images[name].data) for name in MODALITIES if name in images]
    return Placement(grid, bounding_box(brain_mask(in_lps), margin_vox), affine_tolerance)


def crop_volumes(images: Mapping[str, Volume], placement: Placement) -> dict[str, Num[NDArray, "e i x"]]:
    """Crops of a case's images in LPS, not normalised: views, not copies."""
    to_lps, box = placement.grid.to_lps, placement.box.slices
    return {name: to_lps(images[name].data)[box] for name in MODALITIES if name in images}


def normalise_images(crops: Mapping[str, Num[NDArray, "d h w"]]) -> Float32[NDArray, "d h w 4"]:
    """Normalised stack of the images of a crop: mean 0 and standard deviation 1 inside the brain, 0 outside.

    The channel of a missing modality is 0 everywhere.
    """
    inside = brain_mask(crops.values()).astype(np.float32)
    stack = np.zeros((*inside.shape, len(MODALITIES)), np.float32)
    channels = {MODALITIES.index(name): zscore(crop, inside) for name, crop in crops.items()}
    # The first axis of a scan is contiguous in memory. Copying plane by plane transposes it within the cache.
    for row in range(inside.shape[1]):
        for channel, image in channels.items():
            stack[:, row, :, channel] = image[:, row, :]
    return stack


def crop_brain_mask(images: Mapping[str, Volume], placement: Placement) -> Bool[NDArray, "e i x"]:
    """Brain mask of a crop: the voxels where any image is not 0."""
    return brain_mask(crop_volumes(images, placement).values())


def crop_labels(labels: Num[NDArray, "d h w"], placement: Placement) -> Num[NDArray, "e i x"]:
    """Crop, in LPS, of a label map on the scan's own grid."""
    return np.ascontiguousarray(placement.grid.to_lps(labels)[placement.box.slices])


def uncrop(crop: Num[NDArray, "e i x *c"], placement: Placement) -> Num[NDArray, "d h w *c"]:
    """A crop on the scan's own grid and orientation, with zeros around it."""
    grid = placement.grid
    return np.ascontiguousarray(grid.from_lps(paste(crop, placement.box, grid.lps_shape)))


def zscore(image: Num[NDArray, "d h w"], inside: Float32[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """The image, shifted and scaled to mean 0 and standard deviation 1 inside the brain; 0 outside.

    A constant image becomes 0 everywhere.

    Args:
        image: 0 outside the brain.
        inside: 1 in the brain, 0 outside.
    """
    voxels = int(np.count_nonzero(inside)) or 1
    # float32 represents scanner integers exactly; wider types keep their precision until values are small.
    values = image.astype(np.result_type(image.dtype, np.float32))
    largest = max(float(values.max(initial=0)), -float(values.min(initial=0)))
    if largest > MAX_SQUARED:
        values /= largest
    values -= float(values.sum(dtype=np.float64)) / voxels
    values *= inside
    deviation = sqrt(np.square(values).sum(dtype=np.float64) / voxels)
    values *= 1 / (deviation or 1.0)
    return values.astype(np.float32, copy=False)


def downsample_image(image: Float32[NDArray, "d h w c"], factor: int) -> Float16[NDArray, "e i x c"]:
    """Means of blocks of factor³ voxels, in the dtype of the store."""
    return float32_to_float16(downsample(image, factor) if factor > 1 else image)


def downsample_labels(label: UInt8[NDArray, "d h w"], factor: int) -> UInt8[NDArray, "e i x"]:
    """Labels of blocks of factor³ voxels: a block has the regions that at least half of its voxels have."""
    if factor == 1:
        return label
    coarse = np.zeros([-(-n // factor) for n in label.shape], np.uint8)
    if not label.any():
        return coarse
    tumour = bounding_box(label != 0)  # a small part of a crop, so only this part is computed
    start = [a // factor for a in tumour.start]
    blocks = tuple(slice(a * factor, b) for a, b in zip(start, tumour.stop, strict=True))
    shares = downsample(regions_from_labels(label[blocks]).astype(np.float32), factor)
    target = tuple(slice(a, a + n) for a, n in zip(start, shares.shape[:3], strict=True))
    coarse[target] = labels_from_regions(shares)
    return coarse
