"""The voxel grid of a phantom, and smooth random fields on it.

All filters are separable, so a field over a whole brain costs three small matrix products.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from glioseg.core.geometry import Box, Shape3

# Mean over x of sum_j B3(x - j)^2 is 151/315 (Unser 1999, eq. 13): the factor of the variance for each axis.
_SPLINE_STD = float((151 / 315) ** 1.5)

BRATS_SHAPE: Shape3 = (240, 240, 155)
"""Voxels of a BraTS scan."""
BRAIN_BOX = Box((42, 28, 0), (194, 220, 152))
"""The part of the BraTS grid that is rendered; it contains every brain."""


@dataclass(frozen=True)
class PhantomGrid:
    """`BRAIN_BOX` in voxels of 1 mm, for scans, or of 2 mm, for training at that resolution.

    Attributes:
        voxel_mm: edge of a voxel, 1 or 2; a voxel of 2 mm covers a block of eight voxels of 1 mm.
    """

    voxel_mm: int = 1

    @property
    def shape(self) -> Shape3:
        """Voxels along each axis.

        >>> PhantomGrid(1).shape, PhantomGrid(2).shape
        ((152, 192, 152), (76, 96, 76))
        """
        d, h, w = (n // self.voxel_mm for n in BRAIN_BOX.shape)
        return (d, h, w)

    def voxel_count(self, volume_ml: float) -> float:
        """Number of voxels in a volume.

        >>> PhantomGrid(2).voxel_count(1.0)
        125.0
        """
        return volume_ml * 1000 / self.voxel_mm**3

    def to_vox(self, position_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel coordinates, 0 at the first voxel's centre, of a position in mm from the first 1 mm voxel."""
        return np.asarray((position_mm - (self.voxel_mm - 1) / 2) / self.voxel_mm)

    def noise(self, rng: np.random.Generator, spacing_mm: float) -> Float32[NDArray, "d h w"]:
        """Gaussian noise of unit variance over the box; see `smooth_noise`."""
        return smooth_noise(rng, self.shape, spacing_mm / self.voxel_mm)

    def gaussian_blur(self, volume: Float32[NDArray, "d h w"], sigma_mm: float) -> Float32[NDArray, "d h w"]:
        """A volume over the box, smoothed by a Gaussian."""
        for axis in range(3):
            matrix = blur_matrix(volume.shape[axis], sigma_mm / self.voxel_mm)
            volume = apply_along_axis(volume, matrix, axis)
        return volume

    def knot_positions_mm(self, axis: int, spacing_mm: float) -> NDArray[np.float64]:
        """Positions of a spline's control points along an axis, in mm from the box's first 1 mm voxel."""
        knots = knot_positions(self.shape[axis], spacing_mm / self.voxel_mm)
        return np.asarray(knots * self.voxel_mm + (self.voxel_mm - 1) / 2)


GRID_1MM = PhantomGrid(1)
"""The resolution of BraTS scans."""


def knot_count(size: int, spacing: float) -> int:
    """Number of control points with which a cubic spline covers `size` voxels."""
    return int(np.floor((size - 1) / spacing)) + 4


def knot_positions(size: int, spacing: float) -> Float[NDArray, " k"]:
    """Positions of the control points in voxels; the first lies one spacing before voxel 0."""
    return (np.arange(knot_count(size, spacing)) - 1.0) * spacing


def spline_matrix(size: int, spacing: float) -> Float32[NDArray, "n k"]:
    """Weights that turn control points into voxel values: cubic B-splines (Unser 1999).

    >>> float(spline_matrix(5, 2.0).sum(axis=1).round(6).min())
    1.0
    """
    position = np.arange(size)[:, None] / spacing + 1.0
    t = np.abs(position - np.arange(knot_count(size, spacing))[None])
    near, far = 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, near, far).astype(np.float32)


def apply_along_axis(
    array: Float32[NDArray, "a b c"], matrix: Float32[NDArray, "n m"], axis: int
) -> Float32[NDArray, "d h w"]:
    """The product of a matrix with every vector of a volume along one axis (0, 1 or 2).

    The sums are computed in double precision. After rounding to single precision, they are the same for every
    BLAS kernel, and so are the phantoms.
    """
    wide, matrix = array.astype(np.float64), matrix.astype(np.float64)
    a, b, c = array.shape
    if axis == 0:
        out = (matrix @ wide.reshape(a, b * c)).reshape(len(matrix), b, c)
    elif axis == 1:
        out = np.matmul(matrix, wide)
    else:
        out = (wide.reshape(a * b, c) @ matrix.T).reshape(a, b, len(matrix))
    return np.asarray(out, np.float32)


def evaluate_spline(
    control: Float32[NDArray, "a b c"], shape: Shape3, spacing: float
) -> Float32[NDArray, "d h w"]:
    """Voxel values of a cubic spline that has `knot_count(n, spacing)` control points along each axis."""
    for axis in range(3):
        control = apply_along_axis(control, spline_matrix(shape[axis], spacing), axis)
    return control


def smooth_noise(rng: np.random.Generator, shape: Shape3, spacing: float) -> Float32[NDArray, "d h w"]:
    """Gaussian noise of unit variance whose correlation length is about `spacing` voxels.

    >>> field = smooth_noise(np.random.default_rng(0), (40, 40, 40), 4.0)
    >>> field.shape, abs(float(field.std()) - 1) < 0.15
    ((40, 40, 40), True)
    """
    size = tuple(knot_count(n, spacing) for n in shape)
    control = rng.standard_normal(size, dtype=np.float32) / np.float32(_SPLINE_STD)
    return evaluate_spline(control, shape, spacing)


def blur_matrix(size: int, sigma_vox: float) -> Float32[NDArray, "n n"]:
    """Gaussian smoothing along one axis; each row sums to 1, also at the ends."""
    offset = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (offset / max(sigma_vox, 1e-3)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def slicing_matrices(
    size: int, thickness_vox: float
) -> tuple[Float32[NDArray, "s n"], Float32[NDArray, "n s"]]:
    """Averaging into thick slices, and linear interpolation from the slices back to voxels.

    A scanner averages over a slice, and BraTS resamples to 1 mm; this is why many BraTS volumes are blurred
    along one axis.

    Args:
        size: voxels along the axis.
        thickness_vox: slice thickness; if it is at most 1, each voxel is a slice, and nothing is averaged.
    """
    if thickness_vox <= 1:
        return np.eye(size, dtype=np.float32), np.eye(size, dtype=np.float32)
    count = max(int(np.ceil(size / thickness_vox)), 2)
    centre = np.linspace(0, size - 1, count)
    step = centre[1] - centre[0]
    voxel = np.arange(size)
    to_slices = np.exp(-0.5 * (np.subtract.outer(centre, voxel) / (0.42 * step)) ** 2)
    to_voxels = np.clip(1 - np.abs(np.subtract.outer(voxel, centre)) / step, 0, None)
    weights = [m / m.sum(axis=1, keepdims=True) for m in (to_slices, to_voxels)]
    return weights[0].astype(np.float32), weights[1].astype(np.float32)
