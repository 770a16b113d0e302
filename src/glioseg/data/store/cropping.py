"""Crop to the brain, normalise, and the exact way back to the scan's own grid."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Num
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json
from glioseg.core.geometry import AFFINE_TOLERANCE, Box, bounding_box, paste
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.grids import common_grid

PLACEMENT = "placement.json"


class CropError(GliosegError):
    """Scans that cannot be cropped together, or as they were; the message names the one at fault."""


@dataclass(frozen=True)
class Placement:
    """Where a crop lies: `box` in voxels of the scan brought to LPS, `grid` the scan's own.

    `affine_tolerance`: how far the affines of the case's other volumes may deviate from that of `grid`.
    """

    grid: Grid
    box: Box
    affine_tolerance: float = AFFINE_TOLERANCE

    @classmethod
    def load(cls, folder: Path) -> "Placement":
        """Read what `save` wrote in a stored case's folder.

        Raises:
            FileError, CropError: it is not JSON, or does not hold what `save` writes.
        """
        record = read_json(folder / PLACEMENT)
        try:
            grid = Grid(tuple(record["shape"]), np.array(record["affine"], np.float64))
            box = Box(tuple(record["start"]), tuple(record["stop"]))
            return cls(grid, box, record["affine_tolerance"])
        except (LookupError, TypeError, ValueError) as error:
            raise CropError(f"{folder / PLACEMENT}: not the placement of a crop: {error!r}") from None

    def save(self, folder: Path) -> None:
        """Write placement.json."""
        grid = {"shape": self.grid.shape, "affine": self.grid.affine.tolist()}
        record = {**grid, **asdict(self.box), "affine_tolerance": self.affine_tolerance}
        (folder / PLACEMENT).write_text(json.dumps(record))


def crop_images(
    images: Mapping[str, Volume], *, margin_vox: int, affine_tolerance: float = AFFINE_TOLERANCE
) -> tuple[Float32[NDArray, "d h w 4"], Placement]:
    """Crop the images of a case to the brain and normalise them.

    The box is that of the non-zero voxels over the images, never of the segmentation: at prediction
    time there is none.

    Args:
        images: a volume for each of `MODALITIES`, or for some of them, all on one grid; a segmentation
            among them must lie on that grid too.
        margin_vox: voxels added around the brain, inside the grid.
        affine_tolerance: how far affines may deviate from that of the first image, as contract.yaml sets it.

    Returns:
        (D, H, W, 4) float32 in LPS, channels in the order of `MODALITIES`: each has mean 0 and
        standard deviation 1 inside the brain and is 0 outside; that of a missing modality is 0
        everywhere; and where the crop lies.

    Raises:
        GridError: no modality, or grids differ.
        GliosegError: no voxel is non-zero.
    """
    placement = place_crop(images, margin_vox=margin_vox, affine_tolerance=affine_tolerance)
    return normalised(cut_images(images, placement)), placement


def place_crop(
    images: Mapping[str, Volume], *, margin_vox: int, affine_tolerance: float = AFFINE_TOLERANCE
) -> Placement:
    """Find the brain's box, as `crop_images` does."""
    grid = common_grid(images, tolerance=affine_tolerance)
    turned = [grid.to_lps.apply(images[name].data) for name in MODALITIES if name in images]
    return Placement(grid, bounding_box(any_of(turned), margin_vox), affine_tolerance)


def cut_images(images: Mapping[str, Volume], placement: Placement) -> dict[str, Num[NDArray, "e i x"]]:
    """Cut the images of a case to the crop, in LPS and as they are: views, not copies."""
    turn, here = placement.grid.to_lps, placement.box.slices
    return {name: turn.apply(images[name].data)[here] for name in MODALITIES if name in images}


def normalised(crops: Mapping[str, Num[NDArray, "d h w"]]) -> Float32[NDArray, "d h w 4"]:
    """Stack the images of a crop, each with mean 0 and standard deviation 1 inside the brain, 0 outside.

    The channel of a modality that is missing is 0 everywhere.
    """
    inside = any_of(list(crops.values())).astype(np.float32)
    stack = np.zeros((*inside.shape, len(MODALITIES)), np.float32)
    normal = {MODALITIES.index(name): zscore(crop, inside) for name, crop in crops.items()}
    # Scans lie in memory with their first axis innermost: plane by plane they turn within the cache.
    for row in range(inside.shape[1]):
        for channel, image in normal.items():
            stack[:, row, :, channel] = image[:, row, :]
    return stack


def crop_brain(images: Mapping[str, Volume], placement: Placement) -> Bool[NDArray, "e i x"]:
    """Mark the voxels of a crop that are not background: those where some image is not 0."""
    return any_of(list(cut_images(images, placement).values()))


def any_of(arrays: Sequence[Num[NDArray, "d h w"]]) -> Bool[NDArray, "d h w"]:
    """Where some array is not 0."""
    marked: NDArray[np.bool_] = arrays[0] != 0
    for array in arrays[1:]:
        marked |= array != 0
    return marked


def crop_labels(labels: Num[NDArray, "d h w"], placement: Placement) -> Num[NDArray, "e i x"]:
    """Cut a label map on the scan's own grid to the crop, in LPS."""
    return np.ascontiguousarray(placement.grid.to_lps.apply(labels)[placement.box.slices])


def uncrop(crop: Num[NDArray, "e i x *c"], placement: Placement) -> Num[NDArray, "d h w *c"]:
    """Put a crop back on the scan's own grid and orientation, with zeros around it."""
    reorientation = placement.grid.to_lps
    d, h, w = (placement.grid.shape[i] for i in reorientation.order)
    return np.ascontiguousarray(reorientation.undo(paste(crop, placement.box, (d, h, w))))


def zscore(image: Num[NDArray, "d h w"], inside: Float32[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """Shift and scale to mean 0 and standard deviation 1 inside the brain; 0 outside.

    A constant image becomes 0 everywhere.

    Args:
        image: 0 outside the brain.
        inside: 1 in the brain, 0 outside.
    """
    voxels = int(np.count_nonzero(inside)) or 1
    # float32 holds the integers of scanners exactly; what is wider stays so until it is small.
    values = image.astype(np.result_type(image.dtype, np.float32))
    values -= float(values.sum(dtype=np.float64)) / voxels
    values *= inside
    deviation = sqrt(np.square(values).sum(dtype=np.float64) / voxels)
    values *= 1 / (deviation or 1.0)
    return values.astype(np.float32, copy=False)
