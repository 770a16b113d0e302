"""HD95 and surface Dice of two masks, as surface-distance defines them (Nikolov et al. 2021)."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from glioseg.core.geometry import Shape3, Spacing3, bounding_box

PERCENTILE = 95.0
TOLERANCE_MM = 1.0
CORNERS = tuple(np.ndindex(2, 2, 2))
"""Offsets of the eight voxels around a corner of the grid."""


def hausdorff_mm(
    truth: Bool[NDArray, "d h w"],
    prediction: Bool[NDArray, "d h w"],
    *,
    spacing_mm: Spacing3,
    percentile: float = PERCENTILE,
) -> float:
    """The robust Hausdorff distance of surface-distance: BraTS 2023's HD95 at the percentile 95.

    A directed percentile is the smallest distance within which that share of one surface's area lies from
    the other surface; the result is the larger of the two. Surfaces are those of `surface_dice`
    (docs/decisions/0025-which-hd95.md).

    A k-d tree finds the nearest corners. A distance transform would fill the box around both masks;
    with one stray voxel it was thirty times slower.

    Args:
        truth: mask, voxels.
        prediction: mask on the same grid.
        spacing_mm: distance of neighbouring voxels along each axis.
        percentile: 100 is the classic Hausdorff distance.

    Returns:
        0 for two empty masks, `grid_diagonal_mm` for one
        (docs/decisions/0002-empty-masks.md).

    >>> truth = np.zeros((4, 4, 4), bool); truth[1, 1, 1] = True
    >>> hausdorff_mm(truth, np.roll(truth, 1, axis=2), spacing_mm=(1, 1, 2))
    2.0
    """
    if not truth.any() and not prediction.any():
        return 0.0
    if not truth.any() or not prediction.any():
        d, h, w = truth.shape
        return grid_diagonal_mm((d, h, w), spacing_mm)
    (one, one_area), (other, other_area) = (_surface(m, spacing_mm) for m in (truth, prediction))
    directed = (one, one_area, other), (other, other_area, one)
    return max(_directed_mm(*surfaces, spacing_mm, percentile) for surfaces in directed)


def _directed_mm(
    corners: Int64[NDArray, "n 3"],
    areas: Float64[NDArray, "n"],
    others: Int64[NDArray, "m 3"],
    spacing_mm: Spacing3,
    percentile: float,
) -> float:
    """The percentile of the distances of one surface's area to the corners of the other."""
    step_mm = np.asarray(spacing_mm, np.float64)
    _, nearest = cKDTree(others * step_mm).query(corners * step_mm)
    # Computed from steps of the grid, equal distances are equal in every digit and are sorted together.
    distances_mm = np.linalg.norm((corners - others[nearest]) * step_mm, axis=1)
    order = np.lexsort((areas, distances_mm))
    shares = np.cumsum(areas[order]) / areas.sum()
    last = len(order) - 1  # rounding may leave its share below 1
    return float(distances_mm[order[min(int(np.searchsorted(shares, percentile / 100)), last)]])


def grid_diagonal_mm(shape: Shape3, spacing_mm: Spacing3) -> float:
    """The diagonal of a grid: the distance of a missed or a false structure.

    >>> round(grid_diagonal_mm((240, 240, 155), (1, 1, 1)), 2)  # the BraTS grid: BraTS's own penalty
    373.13
    """
    return float(np.linalg.norm(np.multiply(shape, spacing_mm)))


def surface_dice(
    truth: Bool[NDArray, "d h w"],
    prediction: Bool[NDArray, "d h w"],
    *,
    spacing_mm: Spacing3,
    tolerance_mm: float = TOLERANCE_MM,
) -> float:
    """The normalised surface Dice at a tolerance (Nikolov et al. 2021).

    A surface passes through those corners of the grid whose eight surrounding voxels are partly inside
    the mask; each corner has the area of the marching cubes' triangles there. A corner agrees if a corner
    of the other surface lies within the tolerance. The result is the agreeing area of both surfaces,
    divided by the area of both.

    Args:
        truth: mask, voxels.
        prediction: mask on the same grid.
        spacing_mm: distance of neighbouring voxels along each axis.
        tolerance_mm: distance up to which two surfaces agree.

    Returns:
        1 for two empty masks, 0 for one (docs/decisions/0002-empty-masks.md).

    >>> truth = np.zeros((4, 4, 8), bool); truth[1, 1, 2] = True
    >>> surface_dice(truth, np.roll(truth, 2, axis=2), spacing_mm=(1, 1, 1))  # facing halves are 1 mm apart
    0.5
    """
    if not truth.any() and not prediction.any():
        return 1.0
    if not truth.any() or not prediction.any():
        return 0.0
    (one, one_area), (other, other_area) = (_surface(m, spacing_mm) for m in (truth, prediction))
    one_mm, other_mm = one * np.asarray(spacing_mm), other * np.asarray(spacing_mm)
    near = _within(one_mm, other_mm, tolerance_mm), _within(other_mm, one_mm, tolerance_mm)
    agreeing = one_area[near[0]].sum() + other_area[near[1]].sum()
    return float(agreeing / (one_area.sum() + other_area.sum()))


def _surface(
    mask: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> tuple[Int64[NDArray, "points 3"], Float64[NDArray, "points"]]:
    """The corners of the grid on a mask's surface, and the surface area at each, in mm²."""
    box = bounding_box(mask)
    inner = np.pad(mask[box.slices], 1).astype(np.uint8)
    around = np.zeros([n - 1 for n in inner.shape], np.uint8)
    for bit, offset in enumerate(CORNERS):
        window = tuple(slice(o, o + n) for o, n in zip(offset, around.shape, strict=True))
        around |= inner[window] << np.uint8(bit)
    places = np.nonzero((around != 0) & (around != 255))
    return np.stack(places, axis=1) + box.start, _areas_mm2(spacing_mm)[around[places]]


@lru_cache(maxsize=16)
def _areas_mm2(spacing_mm: Spacing3) -> Float64[NDArray, "256"]:
    """The area of marching cubes' triangles (Lorensen & Cline 1987) for each pattern of eight voxels."""
    from skimage.measure import marching_cubes, mesh_surface_area  # takes half a second

    areas = np.zeros(256)
    for pattern in range(1, 255):
        # A mask and its complement have the same surface, but not the same triangles in ambiguous patterns.
        smaller = min(pattern, 255 - pattern, key=int.bit_count)
        inside = np.array([smaller >> bit & 1 for bit in range(8)], np.float32).reshape(2, 2, 2)
        halves, triangles, *_ = marching_cubes(inside, 0.5, method="lorensen")
        areas[pattern] = mesh_surface_area(halves * np.asarray(spacing_mm, np.float64), triangles)
    return areas


def _within(
    points_mm: Float64[NDArray, "n 3"], others_mm: Float64[NDArray, "m 3"], tolerance_mm: float
) -> Bool[NDArray, "n"]:
    # A spacing from an affine may be wrong in its last digit, and the upper bound is exclusive.
    bound_mm = tolerance_mm * (1 + 1e-6)
    distances_mm, _ = cKDTree(others_mm).query(points_mm, distance_upper_bound=bound_mm)
    within: NDArray[np.bool_] = np.isfinite(distances_mm)
    return within
