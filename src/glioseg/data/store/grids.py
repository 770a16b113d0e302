"""Checks that the volumes of a case lie on one grid; no other module compares affines."""

from collections.abc import Mapping

import numpy as np

from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume


class GridError(GliosegError):
    """A case has no image, or its volumes lie on different grids; the message names the volume."""


def affine_deviation(grid: Grid, first: Grid) -> float:
    """Largest difference between corresponding entries of the affines of two grids."""
    return float(np.abs(grid.affine - first.affine).max())


def expected_affine(tolerance: float) -> str:
    """Description of the expected affine, for the contract and for errors."""
    return f"that of the case's first image to {tolerance:g}"


def check_grid(name: str, grid: Grid, first: Grid, *, tolerance: float) -> None:
    """Check that a volume lies on the grid of the case's first image.

    Args:
        name: name of the volume, for the message.
        grid: grid of the volume.
        first: grid of the first image, in the order of `MODALITIES`.
        tolerance: largest accepted difference of an entry of the affine, as contract.yaml sets it.

    Raises:
        GridError: the shape differs, or the affine differs by more than the tolerance.
    """
    if grid.shape != first.shape:
        raise GridError(f"{name}: expected shape {first.shape}, got {grid.shape}")
    deviation = affine_deviation(grid, first)
    if not deviation <= tolerance:  # also rejects NaN
        raise GridError(
            f"{name}: affine: expected {expected_affine(tolerance)}, got a difference of {deviation:.6g}"
        )


def common_grid(volumes: Mapping[str, Volume], *, tolerance: float) -> Grid:
    """The common grid of a case's volumes: that of the first image, in the order of `MODALITIES`.

    Args:
        volumes: volumes by role; at least one is an image.
        tolerance: as for `check_grid`.

    Raises:
        GridError: no volume is an image, or a grid differs as in `check_grid`; the message names the role.
    """
    present = [role for role in ROLES if role in volumes]
    if not present or present[0] not in MODALITIES:
        raise GridError(f"no modality: expected at least one of {', '.join(MODALITIES)}")
    first = volumes[present[0]].grid
    for role in present[1:]:
        check_grid(role, volumes[role].grid, first, tolerance=tolerance)
    return first


def on_first_grid(images: Mapping[str, Volume]) -> dict[str, Volume]:
    """The images of a case, each with the grid of the first.

    The contract compares all affines with that of the first image. With one common grid, any subset of the
    images passes that comparison too.

    Args:
        images: all images of an accepted case, in the order of `MODALITIES`.
    """
    first = next(iter(images.values())).grid
    return {name: Volume(image.data, first) for name, image in images.items()}
