"""Smooth random displacement: a free-form deformation by cubic B-splines (Rueckert et al. 1999)."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from glioseg.core.geometry import Shape3

CELLS = 5
"""Cells of the control grid along each axis: a patch of the brain bends in parts of some 30 mm."""
MAX_BEND = 0.4
"""Largest displacement of a control point, in cells. Below 1/2.48 the grid never folds (Choi & Lee 2000)."""


def displacement(seed: int, bend: float, shape: Shape3) -> list[Float32[NDArray, "d h w"]]:
    """A displacement of every voxel along each of the three axes, in voxels.

    Every control point moves by its own uniform draw; the splines between them make it smooth.

    Args:
        seed: fixes the control points.
        bend: largest displacement of a control point, in cells of the control grid.
        shape: of the patch, in voxels.
    """
    d, h, w = (spline_weights(n) for n in shape)
    rng = np.random.default_rng(seed)
    fields = []
    for size in shape:
        reach = bend * size / CELLS
        control = rng.uniform(-reach, reach, (d.shape[1], h.shape[1], w.shape[1])).astype(np.float32)
        # One axis after the other: a sum over 64 control points a voxel would take far longer.
        along_w = control @ w.T
        fields.append(np.tensordot(d, h @ along_w, axes=1))
    return fields


def spline_weights(length: int) -> Float32[NDArray, "n k"]:
    """What each control point (k) along an axis of `length` voxels (n) weighs at each voxel's centre.

    The weights of a voxel sum to 1.

    >>> spline_weights(10).shape, spline_weights(10).sum(axis=1).round(6).tolist()[:2]
    ((10, 8), [1.0, 1.0])
    """
    knots = np.arange(-3, CELLS + 4, dtype=np.float64)
    places: Float64[NDArray, " n"] = (np.arange(length) + 0.5) / length * CELLS
    weights: NDArray[np.float32] = BSpline.design_matrix(places, knots, 3).toarray().astype(np.float32)
    return weights
