"""NIfTI volumes in and out. The one module that knows nibabel."""

import logging
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from math import prod
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from isal import igzip, igzip_lib
from jaxtyping import Float32, Shaped
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_whole
from glioseg.core.geometry import Reorientation, Shape3

ORIENTATION = "LPS"
"""BraTS's own: axes grow to the patient's left, back and head. The store and the network use it."""

GZIP_MAGIC = b"\x1f\x8b"

HEADER_BYTES = 540
"""Of NIfTI-2, the longer of the two headers."""

DEFLATE_RATIO = 1032
"""Bytes that one byte of a gzip file can stand for at most: 258 for each two bits (zlib's own figure)."""

EASY_VOXELS, VOXELS_PER_BYTE = 10_000_000, 12
"""What a stranger's file may hold whatever its size, a little more than BraTS's grid; and for each of its
bytes: scans hold noise, and come to about four."""

NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
"""Types of voxels that glioseg computes with. Colours and complex numbers have no brightness, and JSON holds
nothing that is longer than double precision."""

ISAL_ERROR = cast(type[Exception], igzip_lib.IsalError)  # its stub calls the class an instance
BROKEN = (EOFError, OSError, OverflowError, ValueError, zlib.error, ISAL_ERROR)
"""What isal and nibabel raise for bytes that were cut or changed."""

UNHEARD = logging.Logger("unheard", level=logging.CRITICAL + 1)
"""For what nibabel logs of a bad header: it names no file, and the error that follows does."""


class VolumeError(GliosegError):
    """A file that is not a readable 3D NIfTI volume; the message names it."""


@dataclass(frozen=True)
class Grid:
    """Where a volume's voxels lie: shape in voxels and affine (4, 4) from voxels to mm (RAS)."""

    shape: Shape3
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis."""
        d, h, w = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(d), float(h), float(w))

    @cached_property
    def placed(self) -> bool:
        """Whether the affine can be inverted, in numbers as they are: each axis then points somewhere."""
        with np.errstate(all="ignore"):
            if not np.isfinite(self.affine).all() or np.linalg.det(self.affine) in (0, np.inf, -np.inf):
                return False
            return not np.isnan(io_orientation(self.affine)).any()

    @property
    def orientation(self) -> str:
        """Where each axis points, e.g. "LPS"."""
        return "".join(nib.aff2axcodes(self.affine))

    @cached_property
    def to_lps(self) -> Reorientation:
        """What brings an array on this grid to `ORIENTATION`."""
        steps = self._steps
        order = np.argsort(steps[:, 0].astype(int))
        d, h, w = (int(i) for i in order)
        a, b, c = (bool(steps[i, 1] < 0) for i in order)
        return Reorientation((d, h, w), (a, b, c))

    @property
    def _steps(self) -> NDArray[np.float64]:
        steps: NDArray[np.float64] = ornt_transform(
            io_orientation(self.affine), axcodes2ornt(tuple(ORIENTATION))
        )
        return steps


@dataclass(frozen=True)
class Volume:
    """A 3D image as stored: `data` (D, H, W) in the file's own dtype where it has no scaling."""

    data: Shaped[NDArray, "d h w"]
    grid: Grid

    @property
    def real(self) -> bool:
        """Whether voxels are numbers that glioseg computes with."""
        return self.data.dtype.name in NUMBERS


def read_volume(path: Path) -> Volume:
    """Read a .nii or .nii.gz file.

    Raises:
        VolumeError: unreadable, truncated, not NIfTI or not three-dimensional.
    """
    return decode_volume(_content(path), name=str(path))


def read_channels(path: Path, channels: Mapping[str, int]) -> dict[str, Volume]:
    """Read volumes that lie along the last axis of one 4D file, as the Decathlon keeps modalities.

    Args:
        path: a .nii or .nii.gz file.
        channels: the name of each volume wanted, and where along the last axis it lies.

    Raises:
        VolumeError: unreadable, truncated, not NIfTI, not four-dimensional, or without one of the channels.
    """
    data, affine = _decode(_content(path), name=str(path))
    needed = max(channels.values()) + 1
    if data.ndim != 4 or data.shape[3] < needed:
        raise VolumeError(f"{path}: expected 4 axes, the last of at least {needed}, got shape {data.shape}")
    d, h, w = data.shape[:3]
    grid = Grid((d, h, w), affine)
    return {name: Volume(np.asfortranarray(data[..., at]), grid) for name, at in channels.items()}


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise VolumeError(f"{path}: expected a file, got a folder, a pipe or a device")
        return path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from None


def decode_volume(content: bytes, *, name: str, most_voxels: int | None = None) -> Volume:
    """Read a volume from the bytes of a .nii or .nii.gz file; axes beyond the third of one voxel are dropped.

    Args:
        content: the file's bytes.
        name: what an error calls the file.
        most_voxels: a header that promises more is refused before anything is inflated.

    Raises:
        VolumeError: as `read_volume`.
    """
    data, affine = _decode(content, name=name, most_voxels=most_voxels)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise VolumeError(f"{name}: expected 3 axes, got shape {data.shape}")
    d, h, w = data.shape
    return Volume(data, Grid((d, h, w), affine))


def fair_voxels(content: bytes) -> int:
    """How many voxels to believe a stranger's file that it holds: a gzip bomb promises more.

    >>> fair_voxels(bytes(100_000)), fair_voxels(bytes(2_000_000))
    (10000000, 24000000)
    """
    return max(EASY_VOXELS, VOXELS_PER_BYTE * len(content))


def _decode(
    content: bytes, *, name: str, most_voxels: int | None = None
) -> tuple[Shaped[NDArray, "..."], NDArray[np.float64]]:
    """Voxels and affine; the header is read first, and nothing is inflated beyond what it promises."""
    try:
        packed = content[:2] == GZIP_MAGIC
        header = _read_header(_inflate(content, HEADER_BYTES) if packed else content)
        _check_size(header, most_voxels)
        if packed:
            content = _inflate_volume(header, content)
        data = _voxels(header, content)
        affine = np.asarray(header.get_best_affine(), np.float64)
    except BROKEN as error:
        raise VolumeError(f"{name}: not a whole NIfTI file: {error}") from None
    except (HeaderDataError, WrapStructError) as error:
        raise VolumeError(f"{name}: not a NIfTI file: {error}") from None
    return data, affine


def _inflate(content: bytes, most: int) -> bytes:
    """The first `most` bytes of a gzip file; isal inflates two to three times faster than zlib."""
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    inflated: bytes = member.decompress(content, most)
    if len(inflated) == most or (member.eof and not member.unused_data):
        return inflated
    # Cut, or of several members, as bgzip writes it: a slower reader tells which.
    with igzip.IGzipFile(fileobj=BytesIO(content)) as file:
        whole: bytes = file.read(most)
    return whole


def _inflate_volume(header: nib.Nifti1Header, content: bytes) -> bytes:
    need = _promised_bytes(header)
    if need > DEFLATE_RATIO * len(content):
        raise ValueError(f"expected {need} bytes for shape {header.get_data_shape()}, it cannot hold as many")
    inflated = _inflate(content, need + 1)  # one more: the end is seen, and so its checksum
    if len(inflated) > need:
        raise ValueError(f"expected {need} bytes for shape {header.get_data_shape()}, got more")
    return inflated


def _check_size(header: nib.Nifti1Header, most_voxels: int | None) -> None:
    """What lies before the voxels counts too: where they begin is the header's own word."""
    shape = header.get_data_shape()
    if most_voxels is not None and max(prod(shape), _promised_bytes(header) // 8) > most_voxels:
        raise ValueError(
            f"expected at most {most_voxels} voxels of 8 bytes in a file of this size, got shape {shape}"
            f" up to byte {_promised_bytes(header)}"
        )


def _promised_bytes(header: nib.Nifti1Header) -> int:
    """Where the last voxel ends."""
    voxels, voxel_bytes = prod(header.get_data_shape()), header.get_data_dtype().itemsize
    return int(header.get_data_offset()) + int(voxels * voxel_bytes)


def _read_header(content: bytes) -> nib.Nifti1Header:
    """The header of either version of NIfTI, checked."""
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(content) else nib.Nifti1Header
    header = kind(content[: kind.sizeof_hdr], check=False)
    if header["sform_code"] == 0 and not header["pixdim"][1:4].all():  # nibabel would take 1 mm
        raise HeaderDataError(f"expected a spacing above 0 mm, got {header['pixdim'][1:4].tolist()}")
    header.check_fix(logger=UNHEARD)
    if any(voxels < 1 for voxels in header.get_data_shape()):
        raise HeaderDataError(
            f"expected at least 1 voxel along each axis, got shape {header.get_data_shape()}"
        )
    return header


def _voxels(header: nib.Nifti1Header, content: bytes) -> Shaped[NDArray, "..."]:
    """Scaled where the header says so; else a view of the file's bytes, which a copy would double."""
    shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
    need = _promised_bytes(header)
    if need > len(content):  # nibabel would make room for any number
        raise ValueError(f"expected {need} bytes for shape {shape}, got {len(content)}")
    slope, intercept = header.get_slope_inter()
    if slope in (None, 1) and not intercept:
        return np.ndarray(shape, dtype, content, offset, order="F")
    return np.asanyarray(header.data_from_fileobj(BytesIO(content)))


def encode_volume(volume: Volume, *, compress: bool = True) -> bytes:
    """Write a volume as NIfTI bytes; the same volume always gives the same bytes."""
    # Named, since nibabel takes integers of 64 bits only from those who say that they mean them.
    image = nib.Nifti1Image(volume.data, volume.grid.affine, dtype=volume.data.dtype)
    image.header.set_xyzt_units("mm", "sec")
    content: bytes = image.to_bytes()
    return igzip.compress(content, compresslevel=2, mtime=0) if compress else content


def encode_shares(shares: Float32[NDArray, "d h w"], grid: Grid) -> bytes:
    """Write numbers from 0 to 1 as NIfTI bytes, in steps of 1/255: a fifth of the bytes that floats take.

    >>> grid = Grid((1, 1, 3), np.eye(4))
    >>> content = encode_shares(np.array([[[0, 0.2, 1]]], np.float32), grid)
    >>> decode_volume(content, name="").data.round(6).tolist()
    [[[0.0, 0.2, 1.0]]]
    """
    image = nib.Nifti1Image(np.rint(shares * 255).astype(np.uint8), grid.affine)
    image.header.set_slope_inter(1 / 255, 0)
    image.header.set_xyzt_units("mm", "sec")
    content: bytes = igzip.compress(image.to_bytes(), compresslevel=2, mtime=0)
    return content


def write_volume(path: Path, volume: Volume) -> None:
    """Write a .nii or .nii.gz file whole or not at all."""
    write_whole(path, encode_volume(volume, compress=path.name.endswith(".gz")))
