"""Between a scan's own grid and that of the network.

A network was trained on voxels of one size, 1 mm in BraTS, or on blocks of them. A scan with other voxels is
resampled for it as if to that size and then to blocks, and what it answers is resampled back, so that labels
lie on the scan's own grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float32, Num
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.geometry import Shape3, Spacing3, downsample, interpolate, round_spacing, upsample
from glioseg.core.memory import resampling_gb
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume
from glioseg.data.store.cropping import Placement, any_of, cut_images, normalised, zscore


class ResamplingError(GliosegError):
    """A scan that cannot be resampled for a network; the message says why."""


@dataclass(frozen=True)
class NetworkGrid:
    """The grid on which a network sees a crop: both have parallel axes, and one first corner.

    `placement`: the crop; `trained_mm`: the spacing of the scans that the network was trained on, along the
    axes of LPS; `block`: a voxel of the network holds block³ voxels of such a scan.
    """

    placement: Placement
    trained_mm: Spacing3
    block: int

    @property
    def resampled(self) -> bool:
        """Whether the scan has another spacing than training, as the contract compares them."""
        return round_spacing(self.placement.grid.spacing_mm) != round_spacing(self.trained_mm)

    @property
    def crop_mm(self) -> Spacing3:
        """The spacing of the crop."""
        d, h, w = (self.placement.grid.spacing_mm[axis] for axis in self.placement.grid.to_lps.order)
        return (d, h, w)

    @property
    def network_mm(self) -> Spacing3:
        """The spacing of this grid, where the scan is resampled."""
        d, h, w = (mm * self.block for mm in self.trained_mm)
        return (d, h, w)

    @property
    def shape(self) -> Shape3:
        """Voxels along each axis, where the scan is resampled; the last may reach beyond the crop."""
        sizes = zip(self.placement.box.shape, self.crop_mm, self.network_mm, strict=True)
        d, h, w = (ceil(round(voxels * crop_mm / mm, 6)) or 1 for voxels, crop_mm, mm in sizes)
        return (d, h, w)

    def image(self, images: Mapping[str, Volume]) -> Float32[NDArray, "d h w 4"]:
        """What the network sees of a case, normalised as for its training."""
        if self.resampled:
            return self._resample_images(cut_images(images, self.placement))
        image = normalised(cut_images(images, self.placement))
        return downsample(image, self.block) if self.block > 1 else image

    def on_crop(self, regions: Float32[NDArray, "d h w 3"]) -> Float32[NDArray, "e i x 3"]:
        """Bring probabilities from this grid to the voxels of the crop."""
        shape = self.placement.box.shape
        if not self.resampled:
            return upsample(regions, self.block, shape) if self.block > 1 else regions
        on_crop = np.empty((*shape, regions.shape[-1]), np.float32)
        for region in range(regions.shape[-1]):  # one at a time, to save memory
            on_crop[..., region] = resample(
                regions[..., region],
                from_mm=self.network_mm,
                to_mm=self.crop_mm,
                step_mm=self.trained_mm,
                shape=shape,
            )
        return on_crop

    def check_memory(self, memory_gb: float, *, window_gb: float) -> None:
        """Raise ResamplingError where a scan is too large to be resampled.

        Args:
            memory_gb: the memory budget.
            window_gb: what any scan needs. A budget below it is too small whatever the scan.
        """
        need_gb = resampling_gb(self.placement.box.shape, self.shape) if self.resampled else 0.0
        if need_gb > max(memory_gb, window_gb):
            sizes = zip(self.placement.box.shape, self.crop_mm, strict=True)
            mm = " x ".join(f"{voxels * spacing:.4g}" for voxels, spacing in sizes)
            raise ResamplingError(
                f"inference.memory_gb: expected at least {ceil(need_gb * 100) / 100:g} GB to resample"
                f" a brain of {mm} mm from voxels of {' x '.join(f'{s:.4g}' for s in self.crop_mm)} mm,"
                f" got {memory_gb:g}"
            )

    def _resample_images(self, crops: Mapping[str, Num[NDArray, "e i x"]]) -> Float32[NDArray, "d h w 4"]:
        """One modality after the other, so that only one is in memory at the resolution of a fine scan."""
        brain = any_of(list(crops.values()))
        weight = self._brain_weight(brain)
        inside = brain.astype(np.float32)
        stack = np.zeros((*self.shape, len(MODALITIES)), np.float32)
        for name, crop in crops.items():
            stack[..., MODALITIES.index(name)] = self._to_network(zscore(crop, inside)) * weight
        return stack

    def _brain_weight(self, brain: Bool[NDArray, "e i x"]) -> Float32[NDArray, "d h w"]:
        """What makes of interpolated values those that training would have seen.

        Background is 0, so an interpolated value is that of the brain times the share of brain in it. In
        training a voxel of a scan is brain or not, and its block is averaged: the share is a multiple of
        1 / block³. Here the share is rounded to such a multiple, which keeps the brain's edge as sharp.
        """
        share, parts = self._to_network(brain), self.block**3
        weight = np.zeros(share.shape, np.float32)
        np.divide(np.rint(share * parts) / np.float32(parts), share, out=weight, where=share > 0)
        return weight

    def _to_network(self, crop: Num[NDArray, "e i x"] | Bool[NDArray, "e i x"]) -> Float32[NDArray, "d h w"]:
        return resample(
            crop, from_mm=self.crop_mm, to_mm=self.network_mm, step_mm=self.trained_mm, shape=self.shape
        )


def resample(
    array: Num[NDArray, "d h w"] | Bool[NDArray, "d h w"],
    *,
    from_mm: Spacing3,
    to_mm: Spacing3,
    step_mm: Spacing3,
    shape: Shape3,
) -> Float32[NDArray, "e i x"]:
    """Resample an array to other voxels, on a grid that begins at the same corner.

    Along each axis a new voxel is the mean of evenly spaced points in it, and each point is interpolated
    linearly. Neighbouring points are about one old voxel apart, so that fine detail does not alias, or one
    step where that is shorter. A linear function of position stays one.

    Args:
        array: real numbers, or marks that count as 0 and 1; 0 lies outside.
        from_mm: its spacing.
        to_mm: the new spacing.
        step_mm: how far apart points may be.
        shape: how many new voxels there are along each axis.

    >>> line = np.array([1, 3, 5, 7], np.float32).reshape(4, 1, 1)
    >>> mm = (1.0, 1.0, 1.0)
    >>> resample(line, from_mm=mm, to_mm=(2.0, 1.0, 1.0), step_mm=mm, shape=(2, 1, 1)).ravel().tolist()
    [2.0, 6.0]
    >>> resample(line, from_mm=mm, to_mm=(0.5, 1.0, 1.0), step_mm=mm, shape=(8, 1, 1)).ravel().tolist()
    [1.0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.0]
    """
    resampled: NDArray = array
    for axis, voxels in enumerate(shape):
        ratio = to_mm[axis] / from_mm[axis]
        points = round(max(min(ratio, array.shape[axis]), to_mm[axis] / step_mm[axis], 1))
        resampled = _resample_axis(resampled, axis, ratio=ratio, points=points, voxels=voxels)
    return resampled


def _resample_axis(
    array: NDArray, axis: int, *, ratio: float, points: int, voxels: int
) -> NDArray[np.float32]:
    """Resample along one axis, to voxels that are `ratio` times as long."""
    corners = np.arange(voxels) * ratio
    total = interpolate(array, corners + 0.5 / points * ratio - 0.5, axis)
    for point in range(1, points):
        total += interpolate(array, corners + (point + 0.5) / points * ratio - 0.5, axis)
    total /= np.float32(points)
    return total
