"""Reading and writing of NIfTI volumes. Only this module and `nifti_header` import nibabel."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float32, Shaped
from nibabel import Nifti1Image as Nifti1Image
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.core.geometry import Shape3, Spacing3
from glioseg.core.gzip_bytes import DECODE_ERRORS, GZIP_MAGIC, compress_bytes, decompress
from glioseg.core.nifti_header import (
    HEADER_BYTES,
    HeaderGeometry,
    check_size,
    declared_bytes,
    decompress_volume,
    in_mm,
    read_geometry,
    read_header,
)

ORIENTATION = "LPS"
"""Orientation of BraTS, the store and networks: axes point to the patient's left, back and head."""
LPS_ORIENTATION = axcodes2ornt(tuple(ORIENTATION))

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
"""Supported voxel types. Colours and complex numbers are not intensities, and JSON has no long doubles."""

DICOM_ADVICE = "convert the series to NIfTI, for example with dcm2niix"


class VolumeError(GliosegError):
    """A file without a readable 3D NIfTI volume; the message names the file."""


@dataclass(frozen=True)
class Grid:
    """Geometry of a volume: its shape in voxels, and the affine (4, 4) from voxels to mm in RAS.

    `header`: how the volume's file states its geometry, so that outputs can state it in the same way; None
    for a volume that does not come from a file.
    """

    shape: Shape3
    affine: NDArray[np.float64]
    header: HeaderGeometry | None = None

    @property
    def spacing_mm(self) -> Spacing3:
        """Distance between neighbouring voxels along each axis."""
        d, h, w = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(d), float(h), float(w))

    @cached_property
    def has_valid_affine(self) -> bool:
        """Whether the affine is finite and invertible, so that each axis has a direction."""
        with np.errstate(all="ignore"):
            if not np.isfinite(self.affine).all() or np.linalg.det(self.affine) in (0, np.inf, -np.inf):
                return False
            return not np.isnan(io_orientation(self.affine)).any()

    @property
    def orientation(self) -> str:
        """The directions of the axes, e.g. "LPS"."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def lps_shape(self) -> Shape3:
        """Voxels along each axis of an array that `to_lps` returns."""
        d, h, w = (self.shape[axis] for axis in self._lps_axes)
        return (d, h, w)

    @property
    def lps_spacing_mm(self) -> Spacing3:
        """Distance between neighbouring voxels along each axis of an array that `to_lps` returns."""
        d, h, w = (self.spacing_mm[axis] for axis in self._lps_axes)
        return (d, h, w)

    def to_lps(self, array: Shaped[NDArray, "d h w *c"]) -> Shaped[NDArray, "e i x *c"]:
        """The array with its first three axes permuted and flipped to `ORIENTATION`: a view, not a copy."""
        return np.asarray(apply_orientation(array, ornt_transform(self._orientation, LPS_ORIENTATION)))

    def from_lps(self, array: Shaped[NDArray, "e i x *c"]) -> Shaped[NDArray, "d h w *c"]:
        """The reverse of `to_lps`: `from_lps(to_lps(x))` equals x."""
        return np.asarray(apply_orientation(array, ornt_transform(LPS_ORIENTATION, self._orientation)))

    def turned_to(self, other: "Grid") -> "Grid":
        """The grid of `other.from_lps(self.to_lps(array))`: the same voxels with the axes of another grid."""
        change = ornt_transform(self._orientation, other._orientation)
        d, h, w = (self.shape[int(axis)] for axis in np.argsort(change[:, 0]))
        return Grid((d, h, w), self.affine @ inv_ornt_aff(change, self.shape))

    @cached_property
    def _orientation(self) -> NDArray[np.float64]:
        """Axis in space and direction, 1 or -1, of each axis of this grid, as nibabel represents them."""
        return np.asarray(io_orientation(self.affine))

    @property
    def _lps_axes(self) -> list[int]:
        """For each axis in LPS, the axis of this grid."""
        return [int(axis) for axis in np.argsort(self._orientation[:, 0])]


@dataclass(frozen=True)
class Volume:
    """A 3D image as stored: `data` (D, H, W) has the file's dtype, unless the header scales the values."""

    data: Shaped[NDArray, "d h w"]
    grid: Grid

    def turned_to(self, grid: Grid) -> "Volume":
        """The same voxels with the axes of another grid: a view.

        A volume that has these axes, or whose affine cannot be inverted, is returned itself.
        """
        if not self.grid.has_valid_affine or self.grid.orientation == grid.orientation:
            return self
        return Volume(grid.from_lps(self.grid.to_lps(self.data)), self.grid.turned_to(grid))

    @property
    def is_numeric(self) -> bool:
        """Whether the type of the voxels is one of `DTYPES`."""
        return self.data.dtype.name in DTYPES


def read_volume(path: Path) -> Volume:
    """The volume of a .nii or .nii.gz file.

    Raises:
        VolumeError: the file is unreadable, truncated, not NIfTI or not three-dimensional.
    """
    return decode_volume(_read_bytes(path), name=str(path))


def read_channels(path: Path, channels: Mapping[str, int]) -> dict[str, Volume]:
    """Volumes by name from a 4D file, which has the modalities along its last axis, as in the Decathlon.

    Args:
        path: a .nii or .nii.gz file.
        channels: name of each volume to read → its index along the last axis.

    Raises:
        VolumeError: the file is unreadable, truncated, not NIfTI or not four-dimensional, or lacks a channel.
    """
    data, affine, geometry = _decode(_read_bytes(path), name=str(path))
    needed = max(channels.values()) + 1
    if data.ndim != 4 or data.shape[3] < needed:
        raise VolumeError(f"{path}: expected 4 axes, the last of at least {needed}, got shape {data.shape}")
    d, h, w = data.shape[:3]
    grid = Grid((d, h, w), affine, geometry)
    return {name: Volume(np.asfortranarray(data[..., at]), grid) for name, at in channels.items()}


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block
            raise VolumeError(f"{path}: expected a file, got a folder, a pipe or a device")
        return path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from None


def decode_volume(content: bytes, *, name: str, max_voxels: int | None = None) -> Volume:
    """The volume in the bytes of a .nii or .nii.gz file, without further axes of one voxel.

    Args:
        content: the file's bytes.
        name: name of the file in error messages.
        max_voxels: files whose header declares more are rejected before they are decompressed.

    Raises:
        VolumeError: as `read_volume`.
    """
    return make_volume(*_decode(content, name=name, max_voxels=max_voxels), name=name)


def make_volume(
    data: Shaped[NDArray, "..."],
    affine: NDArray[np.float64],
    geometry: HeaderGeometry | None,
    *,
    name: str,
) -> Volume:
    """The volume of an array, without further axes of one voxel.

    Args:
        data: voxels.
        affine: from voxels to mm in RAS.
        geometry: of a header, if there is one.
        name: name of the volume in error messages.

    Raises:
        VolumeError: the array does not have three axes.
    """
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise VolumeError(f"{name}: expected 3 axes, got shape {data.shape}")
    d, h, w = data.shape
    return Volume(data, Grid((d, h, w), affine, geometry))


def is_dicom_content(content: bytes) -> bool:
    """Whether the first 132 bytes of a file are those of DICOM."""
    return content[128:132] == b"DICM"


def _decode(
    content: bytes, *, name: str, max_voxels: int | None = None
) -> tuple[Shaped[NDArray, "..."], NDArray[np.float64], HeaderGeometry]:
    """Voxels, affine in mm, and geometry; the header is read first, and limits what is decompressed."""
    if is_dicom_content(content):
        raise VolumeError(f"{name}: a DICOM file: {DICOM_ADVICE}")
    try:
        compressed = content[:2] == GZIP_MAGIC
        header = read_header(decompress(content, HEADER_BYTES) if compressed else content)
        check_size(header, max_voxels)
        if compressed:
            content = decompress_volume(header, content)
        data = _voxels(header, content)
        geometry = read_geometry(header)
        affine = in_mm(np.asarray(header.get_best_affine(), np.float64), geometry.mm_per_unit)
    except DECODE_ERRORS as error:
        raise VolumeError(f"{name}: not a complete NIfTI file: {error}") from None
    except (HeaderDataError, WrapStructError) as error:
        raise VolumeError(f"{name}: not a NIfTI file: {error}") from None
    return data, affine, geometry


def _voxels(header: nib.Nifti1Header, content: bytes) -> Shaped[NDArray, "..."]:
    """The voxels, scaled if the header has a scaling; if not, a view of the file's bytes, to save memory."""
    shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
    need = declared_bytes(header)
    if need > len(content):  # nibabel would allocate any number of bytes
        raise ValueError(f"expected {need} bytes for shape {shape}, got {len(content)}")
    slope, intercept = header.get_slope_inter()
    if slope in (None, 1) and not intercept:
        return np.ndarray(shape, dtype, content, offset, order="F")
    return np.asanyarray(header.data_from_fileobj(BytesIO(content)))


def encode_volume(volume: Volume, *, compress: bool = True) -> bytes:
    """A volume as the bytes of a NIfTI file; equal volumes give equal bytes.

    The header states the geometry as the header of the grid's own file does, so that both lie on each other
    in every program.
    """
    content: bytes = to_nibabel(volume).to_bytes()
    return compress_bytes(content) if compress else content


def encode_fractions(fractions: Float32[NDArray, "d h w"], grid: Grid) -> bytes:
    """Numbers from 0 to 1 as the bytes of a NIfTI file, in steps of 1/255: a fifth of the size of floats.

    >>> grid = Grid((1, 1, 3), np.eye(4))
    >>> content = encode_fractions(np.array([[[0, 0.2, 1]]], np.float32), grid)
    >>> decode_volume(content, name="").data.round(6).tolist()
    [[[0.0, 0.2, 1.0]]]
    """
    image = to_nibabel(Volume(np.rint(fractions * 255).astype(np.uint8), grid))
    image.header.set_slope_inter(1 / 255, 0)
    return compress_bytes(image.to_bytes())


def to_nibabel(volume: Volume) -> Nifti1Image:
    """A volume as an image of nibabel; its header states the geometry as that of the grid's own file does."""
    data, grid = volume.data, volume.grid
    # The dtype is explicit because nibabel rejects 64-bit integers otherwise.
    if grid.header is None:
        image = Nifti1Image(data, grid.affine, dtype=data.dtype)
        image.header.set_xyzt_units("mm", "sec")
        return image
    image = Nifti1Image(data, None, dtype=data.dtype)
    image.header["pixdim"][:4] = grid.header.pixdim
    for name, value in grid.header.fields.items():
        image.header[name] = value
    return image


def write_volume(path: Path, volume: Volume) -> None:
    """Write a .nii or .nii.gz file atomically."""
    write_atomic(path, encode_volume(volume, compress=path.name.lower().endswith(".gz")))
