"""Surface Dice: how much of two masks' surfaces lies within a tolerance of the other."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from glioseg.core.geometry import bounding_box
from glioseg.evaluation.hausdorff import Spacing3

TOLERANCE_MM = 1.0
CORNERS = tuple(np.ndindex(2, 2, 2))
"""Offsets of the eight voxels around a corner of the grid."""


def surface_dice(
    truth: Bool[NDArray, "d h w"],
    prediction: Bool[NDArray, "d h w"],
    *,
    spacing_mm: Spacing3,
    tolerance_mm: float = TOLERANCE_MM,
) -> float:
    """The normalised surface Dice at a tolerance (Nikolov et al. 2021).

    A surface runs through the corners between voxels where some of the eight voxels around are inside
    the mask and some are not; each corner stands for the area of marching cubes' triangles there.
    A corner agrees where a corner of the other surface lies within the tolerance. The result is the
    area that agrees, of both surfaces, as a share of the area of both.

    Args:
        truth: mask, voxels.
        prediction: mask on the same grid.
        spacing_mm: distance of neighbouring voxels along each axis.
        tolerance_mm: distance up to which two surfaces agree.

    Returns:
        1 where both masks are empty, 0 where one is (docs/decisions/0002-empty-masks.md).

    >>> truth = np.zeros((4, 4, 8), bool); truth[1, 1, 2] = True
    >>> surface_dice(truth, np.roll(truth, 2, axis=2), spacing_mm=(1, 1, 1))  # facing halves are 1 mm apart
    0.5
    """
    if not truth.any() and not prediction.any():
        return 1.0
    if not truth.any() or not prediction.any():
        return 0.0
    (ours_mm, our_area), (theirs_mm, their_area) = (_surface(m, spacing_mm) for m in (truth, prediction))
    near = _within(ours_mm, theirs_mm, tolerance_mm), _within(theirs_mm, ours_mm, tolerance_mm)
    agreeing = our_area[near[0]].sum() + their_area[near[1]].sum()
    return float(agreeing / (our_area.sum() + their_area.sum()))


def _surface(
    mask: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> tuple[Float64[NDArray, "points 3"], Float64[NDArray, "points"]]:
    """Where a mask's surface passes a corner of the grid, in mm, and its area there, in mm²."""
    box = bounding_box(mask)
    inner = np.pad(mask[box.slices], 1).astype(np.uint8)
    around = np.zeros([n - 1 for n in inner.shape], np.uint8)
    for bit, offset in enumerate(CORNERS):
        window = tuple(slice(o, o + n) for o, n in zip(offset, around.shape, strict=True))
        around |= inner[window] << np.uint8(bit)
    places = np.nonzero((around != 0) & (around != 255))
    points_mm = (np.stack(places, axis=1) + box.start) * np.asarray(spacing_mm, np.float64)
    return points_mm, _areas_mm2(spacing_mm)[around[places]]


@lru_cache(maxsize=16)
def _areas_mm2(spacing_mm: Spacing3) -> Float64[NDArray, "256"]:
    """The area of marching cubes' triangles (Lorensen & Cline 1987) for each pattern of eight voxels."""
    from skimage.measure import marching_cubes, mesh_surface_area  # half a second, and not for all callers

    areas = np.zeros(256)
    for pattern in range(1, 255):
        # A mask and its complement share their surface; the triangles of ambiguous patterns do not.
        smaller = min(pattern, 255 - pattern, key=int.bit_count)
        inside = np.array([smaller >> bit & 1 for bit in range(8)], np.float32).reshape(2, 2, 2)
        triangles = marching_cubes(inside, 0.5, spacing=spacing_mm, method="lorensen")
        areas[pattern] = mesh_surface_area(*triangles[:2])
    return areas


def _within(
    points_mm: Float64[NDArray, "n 3"], others_mm: Float64[NDArray, "m 3"], tolerance_mm: float
) -> Bool[NDArray, "n"]:
    # A spacing read from an affine may be off in its last digit, and the bound itself is not included.
    bound_mm = tolerance_mm * (1 + 1e-6)
    distances_mm, _ = cKDTree(others_mm).query(points_mm, distance_upper_bound=bound_mm)
    within: NDArray[np.bool_] = np.isfinite(distances_mm)
    return within
