"""Whether the volumes of a case lie on one grid: the only place where affines are compared."""

from collections.abc import Mapping

import numpy as np

from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.core.nifti import Grid, Volume


class GridError(GliosegError):
    """No image of a case, or volumes on different grids; the message names the volume."""


def affine_deviation(grid: Grid, first: Grid) -> float:
    """Largest difference between entries of the affines of two grids."""
    return float(np.abs(grid.affine - first.affine).max())


def expected_affine(tolerance: float) -> str:
    """What the contract and an error say of the affine that a volume should have."""
    return f"that of the case's first image to {tolerance:g}"


def check_grid(name: str, grid: Grid, first: Grid, *, tolerance: float) -> None:
    """Require that a volume lies on the grid of the case's first image.

    Args:
        name: of the volume, for the message.
        grid: the volume's own.
        first: that of the first image, in the order of `MODALITIES`.
        tolerance: largest deviation of an entry of the affine, as contract.yaml sets it.

    Raises:
        GridError: another shape, or an affine that deviates more.
    """
    if grid.shape != first.shape:
        raise GridError(f"{name}: expected shape {first.shape}, got {grid.shape}")
    deviation = affine_deviation(grid, first)
    if not deviation <= tolerance:  # NaN is refused too
        raise GridError(
            f"{name}: affine: expected {expected_affine(tolerance)}, got a difference of {deviation:.6g}"
        )


def common_grid(volumes: Mapping[str, Volume], *, tolerance: float) -> Grid:
    """The grid that the volumes of a case share: that of the first image, in the order of `MODALITIES`.

    Args:
        volumes: by role, at least one image among them.
        tolerance: as for `check_grid`.

    Raises:
        GridError: no image, or as for `check_grid`; the message names the role.
    """
    present = [role for role in ROLES if role in volumes]
    if not present or present[0] not in MODALITIES:
        raise GridError(f"no modality: expected at least one of {', '.join(MODALITIES)}")
    first = volumes[present[0]].grid
    for role in present[1:]:
        check_grid(role, volumes[role].grid, first, tolerance=tolerance)
    return first


def on_first_grid(images: Mapping[str, Volume]) -> dict[str, Volume]:
    """The images of a case that its contract accepted, each with the grid of the first.

    In a subset of them the affines then differ no more than among all.

    Args:
        images: all images of the case, in the order of `MODALITIES`.
    """
    first = next(iter(images.values())).grid
    return {name: Volume(image.data, first) for name, image in images.items()}
