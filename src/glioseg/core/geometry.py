"""Boxes, padding and resampling of arrays with NumPy.

A volume is (D, H, W), in the order of the array's axes; channels come last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Bool, Float, Float32, Num, Shaped
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError, SettingError

Shape3 = tuple[int, int, int]
Spacing3 = tuple[float, float, float]
"""Distance between neighbouring voxels along each axis, in mm."""

AFFINE_TOLERANCE_MM = 1e-3
"""Default tolerance of differences between affines: headers hold float32, so equal positions differ slightly.

The rule `affine` of the contract overrides it."""

SPACING_DIGITS = 3
"""Decimals to which spacings in mm are rounded before they are compared: headers hold float32."""


def round_spacing(spacing_mm: Sequence[float]) -> tuple[float, ...]:
    """A spacing rounded for comparison with another one."""
    return tuple(round(float(mm), SPACING_DIGITS) for mm in spacing_mm)


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels: `start` inclusive, `stop` exclusive, both (3,) in voxels."""

    start: Shape3
    stop: Shape3

    @property
    def shape(self) -> Shape3:
        """Voxels along each axis."""
        d, h, w = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return (d, h, w)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """An index that selects the box from a (D, H, W, ...) array."""
        d, h, w = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return (d, h, w)


def bounding_box(mask: Bool[NDArray, "d h w"], margin_vox: int = 0) -> Box:
    """The smallest box that contains all true voxels, expanded by a margin within the grid.

    Raises:
        GliosegError: no voxel is true.

    >>> mask = np.zeros((5, 5, 5), bool); mask[1:3, 2, 2:5] = True
    >>> bounding_box(mask)
    Box(start=(1, 2, 2), stop=(3, 3, 5))
    """
    start, stop = [], []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if hit.size == 0:
            raise GliosegError("bounding box: expected a non-zero voxel, got none")
        start.append(max(int(hit[0]) - margin_vox, 0))
        stop.append(min(int(hit[-1]) + 1 + margin_vox, mask.shape[axis]))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def paste(patch: Shaped[NDArray, "d h w ..."], box: Box, shape: Shape3) -> Shaped[NDArray, "D H W ..."]:
    """A grid of zeros with the patch in the box: the inverse of `array[box.slices]`.

    >>> paste(np.ones((1, 1, 1), int), Box((1, 0, 0), (2, 1, 1)), (3, 1, 1)).ravel().tolist()
    [0, 1, 0]
    """
    if patch.shape[:3] != box.shape:
        raise ValueError(f"paste: expected shape {box.shape}, got {patch.shape[:3]}")
    out = np.zeros(shape + patch.shape[3:], patch.dtype)
    out[box.slices] = patch
    return out


def pad_to_multiple(
    array: Shaped[NDArray, "d h w ..."], multiple: int
) -> tuple[Shaped[NDArray, "D H W ..."], Box]:
    """The array with three axes zero-padded on both sides to the next multiple, and the box of its voxels.

    >>> padded, box = pad_to_multiple(np.ones((3, 4, 5)), 4)
    >>> padded.shape, box
    ((4, 4, 8), Box(start=(0, 0, 1), stop=(3, 4, 6)))
    """
    d, h, w = (-(-n // multiple) * multiple for n in array.shape[:3])
    return pad_to_shape(array, (d, h, w))


def pad_to_shape(
    array: Shaped[NDArray, "d h w ..."], shape: Shape3
) -> tuple[Shaped[NDArray, "D H W ..."], Box]:
    """The array centred in zeros, at least `shape` along its first three axes, and the box of its voxels.

    Axes that are already longer are unchanged.
    """
    target = tuple(max(n, s) for n, s in zip(array.shape[:3], shape, strict=True))
    before = [(t - n) // 2 for t, n in zip(target, array.shape[:3], strict=True)]
    after = [t - n - b for t, n, b in zip(target, array.shape[:3], before, strict=True)]
    start = (before[0], before[1], before[2])
    d, h, w = (b + n for b, n in zip(before, array.shape[:3], strict=True))
    if not any(before) and not any(after):
        return array, Box(start, (d, h, w))
    widths = [*zip(before, after, strict=True), *[(0, 0)] * (array.ndim - 3)]
    return np.pad(array, widths), Box(start, (d, h, w))


def downsample(array: Float[NDArray, "d h w c"], factor: int | Shape3) -> Float32[NDArray, "e i x c"]:
    """Means of blocks of factor³ voxels; zeros complete the last block of each axis.

    Args:
        array: real numbers.
        factor: voxels of a block along all axes, or along each.

    >>> downsample(np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1), 2).item()
    3.5
    """
    # Adding strided views axis by axis is many times faster than NumPy's mean over the axes of blocks.
    total = array.astype(np.float32, copy=False)
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    for axis, voxels in enumerate(factors):
        total = _sum_blocks(total, voxels, axis)
    return total * np.float32(1 / prod(factors))


def _sum_blocks(array: Float32[NDArray, "..."], factor: int, axis: int) -> Float32[NDArray, "..."]:
    """Sums of `factor` neighbours along an axis; the last block may have fewer."""
    first, *others = (array[(slice(None),) * axis + (slice(start, None, factor),)] for start in range(factor))
    total = first.copy()
    for part in others:
        total[(slice(None),) * axis + (slice(part.shape[axis]),)] += part
    return total


def upsample(array: Float32[NDArray, "e i x c"], factor: int, shape: Shape3) -> Float32[NDArray, "d h w c"]:
    """Linear interpolation between block centres: the reverse of `downsample`.

    >>> upsample(np.full((2, 2, 2, 1), 3, np.float32), 2, (3, 4, 4)).shape
    (3, 4, 4, 1)
    """
    out: NDArray[np.float32] = array
    for axis, size in enumerate(shape):
        out = interpolate(out, (np.arange(size, dtype=np.float32) + 0.5) / factor - 0.5, axis)
    return out


def interpolate(
    array: Num[NDArray, "..."] | Bool[NDArray, "..."], positions_vox: Float[NDArray, "positions"], axis: int
) -> Float32[NDArray, "..."]:
    """Linear interpolation along an axis; the value between an outer voxel's centre and the edge is constant.

    Args:
        array: real numbers, or booleans that count as 0 and 1.
        positions_vox: 0 is the centre of the first voxel. Values outside the array are 0.
        axis: the axis of the positions.

    >>> interpolate(np.array([2, 6]), np.array([-0.6, -0.4, 0.25, 1.5]), 0).tolist()
    [0.0, 2.0, 3.0, 6.0]
    """
    last = array.shape[axis] - 1
    clipped = np.clip(positions_vox, 0, last)
    lower = clipped.astype(int)
    column = [-1 if each == axis else 1 for each in range(array.ndim)]
    inside = ((positions_vox >= -0.5) & (positions_vox <= last + 0.5)).astype(np.float32).reshape(column)
    weight = (clipped - lower).astype(np.float32).reshape(column)
    total = array.take(lower, axis) * ((1 - weight) * inside)
    total += array.take(np.minimum(lower + 1, last), axis) * (weight * inside)
    interpolated: NDArray[np.float32] = total.astype(np.float32, copy=False)
    return interpolated


def check_patch_shape(patch_shape: Shape3, depth: int) -> None:
    """Raise SettingError if a U-Net of this depth cannot halve the patch at each level."""
    multiple = 2 ** (depth - 1)
    if any(n % multiple for n in patch_shape):
        raise SettingError(
            f"train.patch_shape: expected multiples of {multiple} (depth {depth}), got {list(patch_shape)}"
        )
