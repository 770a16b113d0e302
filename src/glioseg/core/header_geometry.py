"""How a NIfTI header places its voxels: qform, sform, their codes and the unit of length.

Programs differ in which of the two transforms they use. An output that carries all fields of its scan lies on
the scan in each of them. The standard: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3

GEOMETRY_FIELDS = (
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)
"""Fields of the header that an output copies, besides the first four numbers of `pixdim`."""

SPATIAL_UNIT_BITS = 7
"""Bits of `xyzt_units` that hold the unit of length; the others hold the unit of time."""
MM_PER_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
"""Codes of metre, millimetre and micrometre. Without a unit, numbers are mm."""


@dataclass(frozen=True)
class HeaderGeometry:
    """The fields of a header that place its voxels.

    `fields`: by name, as stored; `pixdim`: its first four numbers, the handedness of the qform and the
    spacing in the header's unit; `qform_mm`, `sform_mm`: the affines (4, 4) from voxels to mm in RAS, None if
    the code is 0 or the transform is invalid.
    """

    fields: Mapping[str, NDArray[np.generic]] = field(repr=False)
    pixdim: tuple[float, ...]
    qform_mm: NDArray[np.float64] | None = None
    sform_mm: NDArray[np.float64] | None = None

    @property
    def mm_per_unit(self) -> float:
        """Millimetres in the header's unit of length."""
        return mm_per_unit(int(self.fields["xyzt_units"]))

    @property
    def has_orientation(self) -> bool:
        """Whether a qform or an sform states the directions of the axes."""
        return self.qform_mm is not None or self.sform_mm is not None

    def form_distance_mm(self, shape: Shape3) -> float | None:
        """Largest distance between a voxel's positions by qform and by sform; None unless both are given.

        Both are affine, so one of the corners of the grid has the largest distance.

        Args:
            shape: voxels of the volume along each axis.
        """
        if self.qform_mm is None or self.sform_mm is None:
            return None
        corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in shape))])
        difference = (corners @ (self.qform_mm - self.sform_mm).T)[:, :3]
        return float(np.sqrt((difference**2).sum(axis=1)).max())


def mm_per_unit(xyzt_units: int) -> float:
    """Millimetres in the unit of length that a header's `xyzt_units` names.

    >>> mm_per_unit(2 + 8), mm_per_unit(3), mm_per_unit(0)  # mm and seconds, µm, none
    (1.0, 0.001, 1.0)
    """
    return MM_PER_UNIT.get(xyzt_units & SPATIAL_UNIT_BITS, 1.0)


def in_mm(affine: NDArray[np.float64], unit_mm: float) -> NDArray[np.float64]:
    """An affine in mm, from one in a unit of `unit_mm` millimetres.

    >>> in_mm(np.diag([1000.0, 1000.0, 1000.0, 1.0]), 1e-3).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if unit_mm == 1:
        return affine
    scaled = affine.copy()
    scaled[:3] *= unit_mm
    return scaled
