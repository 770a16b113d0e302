"""Flips, rotation, scaling and elastic deformation; the last three share one resampling."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int, Shaped, UInt8
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.geometry import Shape3

MIRROR_PROBABILITY = 0.5
"""Probability of a left–right flip, at any strength above 0: a mirrored head is still a plausible head."""
FLIP_PROBABILITY = 0.25
"""Probability of a flip of each other axis at strength 1; lower, because no head is upside down."""
TRANSFORM_PROBABILITY = 0.4
"""Probability of rotation, scaling and deformation, each, at strength 1: twice nnU-Net's."""
MAX_ROTATION_RAD = np.pi / 12
SCALES = (0.85, 1.25)
"""nnU-Net's default ranges (Isensee et al. 2021; batchgenerators): 15° about each axis."""
CONTROL_CELLS = 5
"""Cells of the control grid along each axis; in a patch of the whole brain their edge is about 30 mm."""
MAX_ELASTIC_CELLS = 0.4
"""Largest displacement of a control point, in cells. Below 1/2.48 the grid never folds (Choi & Lee 2000)."""


@dataclass(frozen=True)
class SpatialTransform:
    """A sampled spatial transform; the default is the identity.

    `flip`: axes to reverse; `rotation_rad`: angles about the first, second and third axis, applied in this
    order; `scale`: above 1 enlarges; `elastic_cells`: largest displacement of a control point of the elastic
    deformation, in cells of the control grid; `elastic_seed`: seed of the displacements.
    """

    flip: tuple[bool, bool, bool] = (False, False, False)
    rotation_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    elastic_cells: float = 0.0
    elastic_seed: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float) -> "SpatialTransform":
        """A random transform; the identity at strength 0."""
        probabilities = (
            MIRROR_PROBABILITY if strength else 0.0,
            FLIP_PROBABILITY * strength,
            FLIP_PROBABILITY * strength,
        )
        d, h, w = (rng.random(3) < probabilities).tolist()
        rotates, scales, deforms = rng.random(3) < TRANSFORM_PROBABILITY * strength
        x, y, z = rng.uniform(-MAX_ROTATION_RAD, MAX_ROTATION_RAD, 3).tolist()
        log_scale, elastic_cells = rng.uniform(*np.log(SCALES)), rng.uniform(0, MAX_ELASTIC_CELLS)
        seed = int(rng.integers(2**32))
        return cls(
            flip=(d, h, w),
            rotation_rad=(x, y, z) if rotates else cls.rotation_rad,
            scale=float(np.exp(log_scale)) if scales else cls.scale,
            elastic_cells=elastic_cells if deforms else cls.elastic_cells,
            elastic_seed=seed if deforms else cls.elastic_seed,
        )

    def apply(
        self, image: Float32[NDArray, "d h w c"], label: UInt8[NDArray, "d h w"]
    ) -> tuple[Float32[NDArray, "d h w c"], UInt8[NDArray, "d h w"]]:
        """Image and label after the transform; voxels from outside the brain or the patch are 0.

        Image voxels are interpolated linearly; labels are those of the nearest voxel. (Regions interpolated
        and thresholded at 0.5 lose thin parts, at 2 mm about 7 % of enhancing tumour.)
        """
        axes = tuple(axis for axis, flip in enumerate(self.flip) if flip)
        image, label = np.flip(image, axes), np.flip(label, axes)
        if (self.rotation_rad, self.scale, self.elastic_cells) == (SpatialTransform.rotation_rad, 1.0, 0.0):
            return image, label
        sources = self._sources(label.shape)
        nearest = _nearest(sources)
        # The brain fills half of a patch: interpolating only its voxels halves the time. Flat indices are ten
        # times as fast as a boolean mask.
        brain = np.flatnonzero(_take(brain_mask_of_channels(image), nearest))
        positions = sources.reshape(3, -1).take(brain, axis=1)
        channels = [
            map_coordinates(channel, positions, output=np.float32, order=1, mode="nearest", prefilter=False)
            for channel in np.moveaxis(image, -1, 0)
        ]
        moved = np.zeros(image.shape, np.float32)
        moved.reshape(-1, image.shape[-1])[brain] = np.stack(channels, axis=-1)
        return moved, _take(label, nearest)

    def _sources(self, shape: tuple[int, ...]) -> Float32[NDArray, "3 d h w"]:
        """The position in the given patch of each voxel of the transformed patch, in voxels."""
        d, h, w = shape
        centre = [(n - 1) / 2 for n in shape]
        axes = np.ogrid[:d, :h, :w]
        offsets = [axis.astype(np.float32) - np.float32(c) for axis, c in zip(axes, centre, strict=True)]
        if self.elastic_cells:
            fields = elastic_displacement(self.elastic_seed, self.elastic_cells, (d, h, w))
            offsets = [offset + field for offset, field in zip(offsets, fields, strict=True)]
        sources = np.empty((3, d, h, w), np.float32)
        for source, row, c in zip(sources, self._matrix.astype(np.float32), centre, strict=True):
            source[...] = row[0] * offsets[0] + row[1] * offsets[1] + row[2] * offsets[2] + np.float32(c)
        return sources

    @property
    def _matrix(self) -> Float64[NDArray, "3 3"]:
        """Matrix from offsets about the centre of the transformed patch to offsets in the given patch."""
        rotation: NDArray[np.float64] = Rotation.from_euler("xyz", self.rotation_rad).inv().as_matrix()
        return rotation / self.scale


def _nearest(sources: Float32[NDArray, "3 d h w"]) -> Int[NDArray, "d h w"]:
    """Flat indices of the voxels nearest to the sources, in the volume padded by one voxel on each side."""
    padded = tuple(n + 2 for n in sources.shape[1:])
    d, h, w = np.rint(sources).astype(np.int32) + 1
    index: NDArray[np.intp] = np.ravel_multi_index((d, h, w), padded, mode="clip")
    return index


def _take(volume: Shaped[NDArray, "d h w"], nearest: Int[NDArray, "d h w"]) -> Shaped[NDArray, "d h w"]:
    """Values at the nearest voxels; 0 outside the volume."""
    values: NDArray = np.pad(volume, 1).ravel()[nearest]
    return values


def elastic_displacement(seed: int, elastic_cells: float, shape: Shape3) -> list[Float32[NDArray, "d h w"]]:
    """A smooth random displacement field along each of the three axes, in voxels.

    A free-form deformation by cubic B-splines (Rueckert et al. 1999) whose control points have uniformly
    distributed displacements.

    Args:
        seed: seed of the displacements of the control points.
        elastic_cells: largest displacement of a control point, in cells of the control grid.
        shape: shape of the patch, in voxels.
    """
    d, h, w = (spline_weights(n) for n in shape)
    rng = np.random.default_rng(seed)
    fields = []
    for size in shape:
        limit = elastic_cells * size / CONTROL_CELLS
        control = rng.uniform(-limit, limit, (d.shape[1], h.shape[1], w.shape[1])).astype(np.float32)
        # One axis after the other: summing over 64 control points for each voxel would take far longer.
        along_w = control @ w.T
        fields.append(np.tensordot(d, h @ along_w, axes=1))
    return fields


def spline_weights(length: int) -> Float32[NDArray, "n k"]:
    """Weights of the control points (k) at the centre of each voxel (n) along an axis of `length` voxels.

    The weights of a voxel sum to 1.

    >>> spline_weights(10).shape, spline_weights(10).sum(axis=1).round(6).tolist()[:2]
    ((10, 8), [1.0, 1.0])
    """
    knots = np.arange(-3, CONTROL_CELLS + 4, dtype=np.float64)
    positions: Float64[NDArray, " n"] = (np.arange(length) + 0.5) / length * CONTROL_CELLS
    weights: NDArray[np.float32] = BSpline.design_matrix(positions, knots, 3).toarray().astype(np.float32)
    return weights
