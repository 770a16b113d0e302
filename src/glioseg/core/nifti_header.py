"""Headers of NIfTI files: their checks, and how they place voxels by qform, sform, codes and unit of length.

Programs differ in which of the two transforms they use. An output that carries all fields of its scan lies on
the scan in each of them. The standard: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3
from glioseg.core.gzip_bytes import MAX_COMPRESSION, decompress

HEADER_BYTES = 540
"""Bytes of a NIfTI-2 header, the longer of the two kinds."""

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
UNITS = {1: "m", 2: "mm", 3: "µm"}
"""Codes of metre, millimetre and micrometre. Without a unit, numbers are mm."""

SILENT_LOGGER = logging.Logger("silent", level=logging.CRITICAL + 1)
"""Discards nibabel's messages about bad headers: unlike the error that follows, they do not name the file."""


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
    def unit(self) -> str | None:
        """The header's unit of length, or None if it names none."""
        return UNITS.get(int(self.fields["xyzt_units"]) & SPATIAL_UNIT_BITS)

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


def read_header(content: bytes) -> nib.Nifti1Header:
    """The checked header of a NIfTI-1 or NIfTI-2 file."""
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(content) else nib.Nifti1Header
    header = kind(content[: kind.sizeof_hdr], check=False)
    if header["sform_code"] == 0 and not header["pixdim"][1:4].all():  # nibabel would assume 1 mm
        raise HeaderDataError(f"expected a spacing above 0 mm, got {header['pixdim'][1:4].tolist()}")
    header.check_fix(logger=SILENT_LOGGER)
    shape = header.get_data_shape()
    if any(voxels < 1 for voxels in shape):
        raise HeaderDataError(f"expected at least 1 voxel along each axis, got shape {shape}")
    return header


def check_size(header: nib.Nifti1Header, max_voxels: int | None) -> None:
    """Raise ValueError if the header declares too many voxels, or too large an offset before them."""
    shape = header.get_data_shape()
    if max_voxels is not None and max(prod(shape), declared_bytes(header) // 8) > max_voxels:
        raise ValueError(
            f"expected at most {max_voxels} voxels of 8 bytes in a file of this size, got shape {shape}"
            f" up to byte {declared_bytes(header)}"
        )


def declared_bytes(header: nib.Nifti1Header) -> int:
    """Bytes from the start of the file to the end of the last voxel, according to the header."""
    voxels, voxel_bytes = prod(header.get_data_shape()), header.get_data_dtype().itemsize
    return int(header.get_data_offset()) + int(voxels * voxel_bytes)


def decompress_volume(header: nib.Nifti1Header, content: bytes) -> bytes:
    """The bytes of a compressed file, no more than its header declares.

    Raises:
        ValueError: the file holds more, or cannot hold as many.
    """
    need = declared_bytes(header)
    if need > MAX_COMPRESSION * len(content):
        raise ValueError(f"expected {need} bytes for shape {header.get_data_shape()}, it cannot hold as many")
    decompressed = decompress(content, need + 1)  # one more byte: isal checks the checksum at the end
    if len(decompressed) > need:
        raise ValueError(f"expected {need} bytes for shape {header.get_data_shape()}, got more")
    return decompressed


def read_geometry(header: nib.Nifti1Header) -> HeaderGeometry:
    """How a header places its voxels."""
    fields = {name: header[name].copy() for name in GEOMETRY_FIELDS}
    unit_mm = mm_per_unit(int(header["xyzt_units"]))
    forms = []
    for read in (header.get_qform, header.get_sform):
        try:
            affine = read(coded=True)[0]
        except (HeaderDataError, ValueError):  # e.g. a quaternion that is longer than 1
            affine = None
        forms.append(None if affine is None else in_mm(np.asarray(affine, np.float64), unit_mm))
    return HeaderGeometry(fields, tuple(header["pixdim"][:4].tolist()), *forms)
