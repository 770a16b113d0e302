"""Volumes from images in memory: those of nibabel, and arrays with their affine."""

from pathlib import Path
from typing import TypeAlias

import nibabel as nib
import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from glioseg.core.nifti import Volume, VolumeError, make_volume, read_volume
from glioseg.core.nifti_header import in_mm, read_geometry

Image: TypeAlias = str | Path | nib.spatialimages.SpatialImage | tuple[NDArray, NDArray]
"""A NIfTI file, an image of nibabel, or an array with its affine (4, 4) from voxels to mm in RAS."""


def to_volume(image: Image, *, name: str) -> Volume:
    """The volume of an image.

    Args:
        image: with three axes; further ones of one voxel are dropped.
        name: of the image in error messages, unless it is a file.

    Raises:
        VolumeError: the image is of another type or not three-dimensional, or its file cannot be read.
    """
    if isinstance(image, str | Path):
        return read_volume(Path(image).expanduser())
    if isinstance(image, nib.spatialimages.SpatialImage):
        return _from_nibabel(image, name)
    if isinstance(image, tuple) and len(image) == 2:
        data, affine = image
        return _from_array(np.asarray(data), np.asarray(affine), name)
    got = type(image).__name__
    raise VolumeError(f"{name}: expected a file, an image of nibabel, or (array, affine), got {got}")


def _from_nibabel(image: nib.spatialimages.SpatialImage, name: str) -> Volume:
    """An image in NIfTI format states its geometry by its header, like a file."""
    data = np.asanyarray(image.dataobj)
    if not isinstance(image, nib.Nifti1Pair):
        return make_volume(data, np.asarray(image.affine, np.float64), None, name=name)
    geometry = read_geometry(image.header)
    affine = in_mm(np.asarray(image.header.get_best_affine(), np.float64), geometry.mm_per_unit)
    return make_volume(data, affine, geometry, name=name)


def _from_array(data: Shaped[NDArray, "..."], affine: Shaped[NDArray, "..."], name: str) -> Volume:
    if affine.shape != (4, 4):
        raise VolumeError(f"{name}: expected an affine of shape (4, 4), got {affine.shape}")
    return make_volume(data, affine.astype(np.float64), None, name=name)
