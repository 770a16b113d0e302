"""Smooth random fields, and linear maps along one axis: the cheap building blocks of the phantoms.

Everything is separable, so a field over a whole brain costs three small matrix products.
"""

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3

# Mean over x of sum_j B3(x - j)^2 is 151/315 (Unser 1999, eq. 13): the variance that one axis keeps.
_SPLINE_STD = float((151 / 315) ** 1.5)


def knots(size: int, spacing: float) -> int:
    """How many control points a cubic spline needs to cover `size` voxels."""
    return int(np.floor((size - 1) / spacing)) + 4


def knot_positions(size: int, spacing: float) -> Float[NDArray, " k"]:
    """Where the control points lie, in voxels; the first lies one spacing before voxel 0."""
    return (np.arange(knots(size, spacing)) - 1.0) * spacing


def spline_matrix(size: int, spacing: float) -> Float32[NDArray, "n k"]:
    """Weights that turn control points into voxel values: cubic B-splines (Unser 1999).

    >>> float(spline_matrix(5, 2.0).sum(axis=1).round(6).min())
    1.0
    """
    where = np.arange(size)[:, None] / spacing + 1.0
    t = np.abs(where - np.arange(knots(size, spacing))[None])
    near, far = 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, near, far).astype(np.float32)


def along(
    array: Float32[NDArray, "a b c"], matrix: Float32[NDArray, "n m"], axis: int
) -> Float32[NDArray, "d h w"]:
    """Apply a matrix to every line of a volume along one axis (0, 1 or 2).

    The sums run in double precision: rounded to single, they come out the same whichever kernels
    the BLAS picks for a CPU, and so do the phantoms.
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


def upsample(control: Float32[NDArray, "a b c"], shape: Shape3, spacing: float) -> Float32[NDArray, "d h w"]:
    """Evaluate a cubic spline with `knots(n, spacing)` control points an axis on a voxel grid."""
    for axis in range(3):
        control = along(control, spline_matrix(shape[axis], spacing), axis)
    return control


def smooth_noise(rng: np.random.Generator, shape: Shape3, spacing: float) -> Float32[NDArray, "d h w"]:
    """Gaussian noise of unit variance whose correlation length is about `spacing` voxels.

    >>> field = smooth_noise(np.random.default_rng(0), (40, 40, 40), 4.0)
    >>> field.shape, abs(float(field.std()) - 1) < 0.15
    ((40, 40, 40), True)
    """
    size = tuple(knots(n, spacing) for n in shape)
    control = rng.standard_normal(size, dtype=np.float32) / np.float32(_SPLINE_STD)
    return upsample(control, shape, spacing)


def blur_matrix(size: int, sigma_vox: float) -> Float32[NDArray, "n n"]:
    """Gaussian smoothing along one axis; each row sums to 1, also at the ends."""
    gap = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (gap / max(sigma_vox, 1e-3)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def slicing_matrices(
    size: int, thickness_vox: float
) -> tuple[Float32[NDArray, "s n"], Float32[NDArray, "n s"]]:
    """Averaging into thick slices, and the linear interpolation that undoes the sampling.

    Scanners average over a slice; BraTS then resamples to 1 mm, which is why so many of its
    volumes look smeared along one axis.

    Args:
        size: voxels along the axis.
        thickness_vox: slice thickness; 1 or less means one slice a voxel, and no averaging.
    """
    if thickness_vox <= 1:
        return np.eye(size, dtype=np.float32), np.eye(size, dtype=np.float32)
    count = max(int(np.ceil(size / thickness_vox)), 2)
    centre = np.linspace(0, size - 1, count)
    step = centre[1] - centre[0]
    voxel = np.arange(size)
    into = np.exp(-0.5 * (np.subtract.outer(centre, voxel) / (0.42 * step)) ** 2)
    back = np.clip(1 - np.abs(np.subtract.outer(voxel, centre)) / step, 0, None)
    normal = [m / m.sum(axis=1, keepdims=True) for m in (into, back)]
    return normal[0].astype(np.float32), normal[1].astype(np.float32)
