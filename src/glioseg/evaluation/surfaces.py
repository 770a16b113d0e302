"""The surface of a mask as points with normals, ready to be drawn."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from glioseg.core.geometry import bounding_box
from glioseg.evaluation.colours import RGB
from glioseg.evaluation.hausdorff import Spacing3

SMOOTH_VOX = 0.8
LEVEL = 0.5


@dataclass(frozen=True)
class Surface:
    """Points (N, 3) in mm with outward unit normals (N, 3), and how they look.

    `alpha` is the opacity face on, `rim` what is added where the surface turns away; `splat` lists
    the pixels (row, column) that a point covers beside its own.
    """

    points_mm: Float32[NDArray, "n 3"]
    normals: Float32[NDArray, "n 3"]
    colour: RGB
    alpha: float
    rim: float
    splat: Int64[NDArray, "k 2"]


def surface(
    mask: Bool[NDArray, "d h w"],
    spacing_mm: Spacing3,
    *,
    colour: RGB,
    alpha: float,
    rim: float,
    grid_mm: float,
) -> Surface:
    """Find a mask's surface by marching cubes (Lewiner et al. 2003) on the smoothed mask.

    A mask too small to survive smoothing is taken as it is, so that a lesion of one voxel is seen.

    Args:
        mask: voxels; may be empty.
        spacing_mm: distance of neighbouring voxels along each axis.
        colour: of the surface.
        alpha: see `Surface`.
        rim: see `Surface`.
        grid_mm: coarseness; steps finer than the grid's own are not made.
    """
    reach = range(-1, 2) if grid_mm > 1 else range(2)
    splat = np.array(list(product(reach, repeat=2)), np.int64)
    if not mask.any():
        nothing = np.zeros((0, 3), np.float32)
        return Surface(nothing, nothing, colour, alpha, rim, splat)
    steps = np.maximum(1, np.round(np.divide(grid_mm, spacing_mm))).astype(int)
    box = bounding_box(mask)
    solid = np.pad(mask[box.slices].astype(np.float32), [(3 * n, 3 * n) for n in steps])
    smooth = ndimage.gaussian_filter(solid, SMOOTH_VOX * steps)
    field = (smooth if smooth.max() > LEVEL else solid)[tuple(slice(None, None, n) for n in steps)]
    size_mm = np.multiply(steps, spacing_mm)
    vertices, faces, normals, _ = marching_cubes(field, LEVEL, spacing=tuple(size_mm))
    # Face centres between the vertices close the gaps that a turned surface would show.
    points = np.concatenate([vertices, vertices[faces].mean(axis=1)])
    normals = np.concatenate([normals, normals[faces].mean(axis=1)])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    origin = (np.array(box.start) - 3 * steps) * spacing_mm
    return Surface(
        (points + origin).astype(np.float32), normals.astype(np.float32), colour, alpha, rim, splat
    )
