"""Resampling from the grid of a scan to that of the network, and back.

A network is trained on voxels of one size, 1 mm in BraTS, or on blocks of such voxels. A scan with other
voxels is resampled to that size, and then to blocks. The probabilities of the network are resampled back, so
that labels lie on the scan's own grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float32, Num
from numpy.typing import NDArray

from glioseg.core.brain import brain_mask
from glioseg.core.errors import GliosegError
from glioseg.core.geometry import Shape3, Spacing3, downsample, interpolate, round_spacing, upsample
from glioseg.core.memory import resampling_peak_gb
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume
from glioseg.data.store.cropping import Placement, crop_volumes, normalise_images, zscore


class ResamplingError(GliosegError):
    """A scan cannot be resampled for a network; the message gives the reason."""


@dataclass(frozen=True)
class NetworkGrid:
    """The grid of a network's input: its axes and its first corner are those of the crop.

    Attributes:
        placement: position of the crop in the scan.
        trained_mm: spacing of the scans that the network was trained on, along the axes of LPS.
        block: edge of a voxel of the network, in voxels of such a scan.
    """

    placement: Placement
    trained_mm: Spacing3
    block: int

    @property
    def needs_resampling(self) -> bool:
        """Whether the spacing of the scan differs from that of training, compared as the contract does."""
        return round_spacing(self.crop_mm) != round_spacing(self.trained_mm)

    @property
    def crop_mm(self) -> Spacing3:
        """Spacing of the crop."""
        return self.placement.grid.lps_spacing_mm

    @property
    def network_mm(self) -> Spacing3:
        """Spacing of this grid if the scan is resampled."""
        d, h, w = (mm * self.block for mm in self.trained_mm)
        return (d, h, w)

    @property
    def shape(self) -> Shape3:
        """Voxels along each axis if the scan is resampled; the last one may extend beyond the crop."""
        sizes = zip(self.placement.box.shape, self.crop_mm, self.network_mm, strict=True)
        d, h, w = (ceil(round(voxels * crop_mm / mm, 6)) or 1 for voxels, crop_mm, mm in sizes)
        return (d, h, w)

    def image(self, images: Mapping[str, Volume]) -> Float32[NDArray, "d h w 4"]:
        """The network's input for a case, normalised as in training."""
        if self.needs_resampling:
            return self._resample_images(crop_volumes(images, self.placement))
        image = normalise_images(crop_volumes(images, self.placement))
        return downsample(image, self.block) if self.block > 1 else image

    def to_crop(self, regions: Float32[NDArray, "d h w 3"]) -> Float32[NDArray, "e i x 3"]:
        """Probabilities on this grid, resampled to the voxels of the crop."""
        shape = self.placement.box.shape
        if not self.needs_resampling:
            return upsample(regions, self.block, shape) if self.block > 1 else regions
        on_crop = np.empty((*shape, regions.shape[-1]), np.float32)
        for region in range(regions.shape[-1]):  # one region at a time saves memory
            on_crop[..., region] = resample(
                regions[..., region],
                from_mm=self.network_mm,
                to_mm=self.crop_mm,
                step_mm=self.trained_mm,
                shape=shape,
            )
        return on_crop

    def check_memory(self, memory_gb: float, *, window_gb: float, scan_bytes: int) -> None:
        """Reject a scan that is too large to be resampled.

        Args:
            memory_gb: the memory budget.
            window_gb: memory that every scan needs; the caller rejects a smaller budget.
            scan_bytes: size of all images of the case in memory.

        Raises:
            ResamplingError: resampling needs more than `memory_gb` and more than `window_gb`.
        """
        if not self.needs_resampling:
            return
        need_gb = resampling_peak_gb(self.placement.box.shape, self.shape, scan_bytes=scan_bytes)
        if need_gb > max(memory_gb, window_gb):
            sizes = zip(self.placement.box.shape, self.crop_mm, strict=True)
            mm = " x ".join(f"{voxels * spacing:.4g}" for voxels, spacing in sizes)
            raise ResamplingError(
                f"inference.memory_gb: expected at least {ceil(need_gb * 100) / 100:g} GB to resample"
                f" a brain of {mm} mm from voxels of {' x '.join(f'{s:.4g}' for s in self.crop_mm)} mm,"
                f" got {memory_gb:g}"
            )

    def _resample_images(self, crops: Mapping[str, Num[NDArray, "e i x"]]) -> Float32[NDArray, "d h w 4"]:
        """The resampled images, computed in turn: only one is in memory at the scan's resolution."""
        brain = brain_mask(crops.values())
        weight = self._brain_weight(brain)
        inside = brain.astype(np.float32)
        stack = np.zeros((*self.shape, len(MODALITIES)), np.float32)
        for name, crop in crops.items():
            stack[..., MODALITIES.index(name)] = self._to_network(zscore(crop, inside)) * weight
        return stack

    def _brain_weight(self, brain: Bool[NDArray, "e i x"]) -> Float32[NDArray, "d h w"]:
        """Factor that makes the brain's edge in interpolated images as sharp as in training.

        Background is 0, so an interpolated value is that of the brain times the share of brain in the voxel.
        In training, a voxel of a scan is either brain or background, and blocks are averaged: the share is a
        multiple of 1 / block³. The factor replaces the share by the nearest such multiple.
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
    """The array resampled to other voxels, on a grid that starts at the same corner.

    Along each axis a new voxel is the mean of evenly spaced points in it; the value of each point is
    interpolated linearly. Neighbouring points are about one old voxel apart, to avoid aliasing, or `step_mm`
    if that is shorter. A linear function of position stays linear.

    Args:
        array: real numbers, or a mask, which counts as 0 and 1.
        from_mm: spacing of the array.
        to_mm: spacing of the result.
        step_mm: largest distance between points.
        shape: voxels of the result along each axis.

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
    """The array resampled along one axis, to voxels that are `ratio` times as long."""
    corners = np.arange(voxels) * ratio
    total = interpolate(array, corners + 0.5 / points * ratio - 0.5, axis)
    for point in range(1, points):
        total += interpolate(array, corners + (point + 0.5) / points * ratio - 0.5, axis)
    total /= np.float32(points)
    return total
