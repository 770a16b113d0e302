"""The grid that a phantom is drawn on: of 1 mm for a scan, of 2 mm where no more is looked at."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from glioseg.core.geometry import Box, Shape3
from glioseg.data.phantom import random_fields

GRID: Shape3 = (240, 240, 155)
WORK = Box((42, 28, 0), (194, 220, 152))
"""Where brains lie in the BraTS grid; the work happens in this box only."""


@dataclass(frozen=True)
class Canvas:
    """The working box in voxels of some size.

    Attributes:
        voxel_mm: edge of a voxel, 1 or 2; a voxel of 2 mm stands for a block of eight of 1 mm.
    """

    voxel_mm: int = 1

    @property
    def shape(self) -> Shape3:
        """Voxels along each axis.

        >>> Canvas(1).shape, Canvas(2).shape
        ((152, 192, 152), (76, 96, 76))
        """
        d, h, w = (n // self.voxel_mm for n in WORK.shape)
        return (d, h, w)

    def voxels(self, volume_ml: float) -> float:
        """How many voxels take a volume.

        >>> Canvas(2).voxels(1.0)
        125.0
        """
        return volume_ml * 1000 / self.voxel_mm**3

    def to_vox(self, place_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """The voxel, counted from the centre of the first, of a place in mm from the box's first mm."""
        return np.asarray((place_mm - (self.voxel_mm - 1) / 2) / self.voxel_mm)

    def noise(self, rng: np.random.Generator, spacing_mm: float) -> Float32[NDArray, "d h w"]:
        """Gaussian noise of unit variance over the box; see `fields.smooth_noise`."""
        return random_fields.smooth_noise(rng, self.shape, spacing_mm / self.voxel_mm)

    def blurred(self, volume: Float32[NDArray, "d h w"], sigma_mm: float) -> Float32[NDArray, "d h w"]:
        """A volume over the box, smoothed by a Gaussian."""
        for axis in range(3):
            matrix = random_fields.blur_matrix(volume.shape[axis], sigma_mm / self.voxel_mm)
            volume = random_fields.along(volume, matrix, axis)
        return volume

    def positions_mm(self, axis: int, spacing_mm: float) -> NDArray[np.float64]:
        """Where the control points of a spline over the box lie along an axis, in mm from its first mm."""
        knots = random_fields.knot_positions(self.shape[axis], spacing_mm / self.voxel_mm)
        return np.asarray(knots * self.voxel_mm + (self.voxel_mm - 1) / 2)


FINE = Canvas(1)
"""1 mm, as BraTS scans are."""
