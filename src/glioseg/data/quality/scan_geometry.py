"""Where the voxels of a case lie: what headers state, whether images agree, and the rules for both."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from glioseg.core.brain import brain_mask
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.expectations import Expectation
from glioseg.data.quality.orientation import check_orientation
from glioseg.data.quality.registration import measure_displacements
from glioseg.params.contract import Contract

VOXEL_MM = (0.01, 100.0)
"""Limits of the edges of a scan's voxels. Where a header names µm or m for numbers that are mm, 1 mm becomes
0.001 mm or 1000 mm."""

Fields = dict[str, Any]
"""Fields of `VolumeStatistics` by name."""


def why_misplaced(grid: Grid) -> str | None:
    """Why the position of the voxels of a file is unknown, or None if it is known.

    >>> why_misplaced(Grid((2, 2, 2), np.diag([0.001, 0.001, 0.002, 1.0])))
    '0.001 x 0.001 x 0.002 mm'
    """
    if not grid.has_valid_affine:
        return "an affine that cannot"
    if all(VOXEL_MM[0] <= mm <= VOXEL_MM[1] for mm in grid.lps_spacing_mm):
        return None
    spacing = f"{' x '.join(f'{mm:.4g}' for mm in grid.lps_spacing_mm)} mm"
    unit = None if grid.header is None else grid.header.unit
    return spacing if unit is None else f"{spacing}; the header's unit of length is {unit}"


def measure_geometry(stored: Mapping[str, Volume], turned: Mapping[str, Volume]) -> dict[str, Fields]:
    """Fields of each volume of a case. What holds for a whole case is in the fields of one volume only.

    Args:
        stored: volumes by role, as their files have them.
        turned: the same, with the axes of the first image.

    Returns:
        By role: `form_distance_mm`, of the volume whose qform and sform differ most; `unknown_orientation`,
        of the first volume whose header does not state it; `displacement_mm`, of images on one grid.
    """
    fields: dict[str, Fields] = {role: {} for role in stored}
    placed = {role: volume for role, volume in stored.items() if volume.grid.has_valid_affine}
    distances = {role: _form_distance_mm(volume.grid) for role, volume in placed.items()}
    if distances:
        farthest = max(distances, key=lambda role: distances[role])
        fields[farthest]["form_distance_mm"] = distances[farthest]
    images = {role: turned[role] for role in MODALITIES if role in placed and turned[role].is_numeric}
    unknown = {role: reason for role in placed if (reason := _why_unknown(placed[role].grid))}
    for role in list(unknown)[:1]:
        fields[role]["unknown_orientation"] = f"{unknown[role]}, {_read_as(placed[role].grid, images)}"
    for role, displacement_mm in _displacements(images).items():
        fields[role]["displacement_mm"] = displacement_mm
    return fields


def _form_distance_mm(grid: Grid) -> float:
    distance_mm = None if grid.header is None else grid.header.form_distance_mm(grid.shape)
    return round(distance_mm, 3) if distance_mm is not None and np.isfinite(distance_mm) else 0.0


def _why_unknown(grid: Grid) -> str | None:
    if grid.header is not None and not grid.header.has_orientation:
        return "qform and sform codes of 0"
    return "an identity matrix" if np.array_equal(grid.affine, np.eye(4)) else None


def _read_as(grid: Grid, images: Mapping[str, Volume]) -> str:
    """How glioseg reads a scan of unknown orientation, and what the outline of the brain says about it."""
    arrays = [image.data for image in images.values()]
    if len({array.shape for array in arrays}) != 1:
        return f"read as {grid.orientation}"
    first = next(iter(images.values())).grid
    brain = first.to_lps(brain_mask(arrays))
    return f"read as {grid.orientation}; {check_orientation(brain, first.lps_spacing_mm, grid.orientation)}"


def _displacements(images: Mapping[str, Volume]) -> dict[str, float]:
    """The displacement of each image; of two images, of the second only."""
    if len({image.grid.shape for image in images.values()}) != 1:
        return {}
    if not all(np.isfinite(image.data).all() for image in images.values()):
        return {}
    found = measure_displacements(images)
    return found if len(found) != 2 else dict([list(found.items())[1]])


def geometry_expectations(contract: Contract) -> Iterator[Expectation]:
    """The rules `qform_sform`, `known_orientation` and `registration`."""
    forms, registration = contract.qform_sform, contract.registration
    yield expect.between(
        "qform sform",
        "form_distance_mm",
        expected=f"a qform and an sform that place each voxel within {forms.mm:g} mm",
        observed="{form_distance_mm} mm between them; the sform is used",
        max_value=forms.mm,
    )
    yield expect.absent(
        "known orientation",
        "unknown_orientation",
        expected="a header that states the orientation",
        observed="{unknown_orientation}",
    )
    yield expect.between(
        "registration",
        "displacement_mm",
        expected=f"tissue within {registration.mm:g} mm of where other images have it",
        observed="{displacement_mm} mm: are they registered?",
        max_value=registration.mm,
    )
