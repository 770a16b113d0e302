"""The measured table of a raw cohort: one row a volume. It states facts and judges nothing.

`glioseg.data.contracts` holds the table to its expectations.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray

from glioseg.data.cases import Case
from glioseg.data.layouts import ROLES, SEGMENTATION
from glioseg.data.records import digest_cases, record_cases, tuples
from glioseg.data.volumes import Grid, Volume, VolumeError, decode_volume
from glioseg.geometry import Shape3

MAX_LABELS = 10
"""Label values listed a volume: more than any scheme has, so a longer list is never needed."""

SPACING_DIGITS = 3
"""Spacing is compared to a micrometre: headers hold float32."""

REAL_KINDS = "iuf"
"""NumPy's kinds of integers and floats; colours and complex numbers have no brightness to measure."""

Facts = dict[str, Any]
"""Fields of `VolumeRow` by name."""


@dataclass(frozen=True)
class VolumeRow:
    """What one file of a case holds. A fact that cannot be measured, as in a truncated file, is None.

    `problem`: why the file cannot be read; `affine_deviation`: largest difference of an entry of the
    affine from that of the case's first image; `minimum`, `maximum`: of the finite voxels;
    `brain_fraction`: share of an image's voxels that are not 0; `brain_deviation`: standard deviation
    of those voxels; `labels`: the values of a segmentation, `MAX_LABELS` at most; `tumour_vox`: voxels
    above 0 in it; `outside_vox`: those of them where every image of the case is 0; `same_bytes_as`:
    an earlier image with the same bytes, as `<case>/<role>`.
    """

    case: str
    role: str
    file: str
    scheme: str
    problem: str | None = None
    sha256: str | None = None
    same_bytes_as: str | None = None
    shape: Shape3 | None = None
    spacing_mm: tuple[float, ...] | None = None
    orientation: str | None = None
    affine_deviation: float | None = None
    dtype: str | None = None
    nan_vox: int | None = None
    infinite_vox: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    brain_fraction: float | None = None
    brain_deviation: float | None = None
    labels: tuple[int | float, ...] | None = None
    tumour_vox: int | None = None
    outside_vox: int | None = None


def measure_cohort(cases: Sequence[Case], *, records: Path) -> list[VolumeRow]:
    """Measure every volume of a cohort; a case that is as it was is not measured again.

    Args:
        cases: the cohort.
        records: folder of what was done before; see `glioseg.data.records`.

    Returns:
        The rows in the order of the cases and of `ROLES`; a role without a file has no row.
    """
    distinct = list({case.case: case for case in cases}.values())
    contents = digest_cases(distinct, records=records)
    measured = record_cases(
        _measured,
        distinct,
        facts=lambda case: [case.case, _names(case), case.scheme, contents[case.case]],
        folder=records / "validate_raw",
        title="measure volumes",
    )
    return _find_twins([VolumeRow(**tuples(row)) for record in measured for row in record.found])


def _names(case: Case) -> list[str]:
    return [file.name for file in case.files.values()]


def _measured(case: Case, _: Path) -> list[dict[str, Any]]:
    return [asdict(row) for row in measure_case(case)]


def measure_case(case: Case) -> list[VolumeRow]:
    """Measure the volumes of one case; one that cannot be read gets a row that says why."""
    rows, volumes = [], {}
    for role in (role for role in ROLES if role in case.files):
        row, volume = _read(case, role)
        rows.append(row)
        if volume is not None:
            volumes[role] = volume
    reference = next((image.grid for image in _images(volumes) if _placed(image.grid)), None)
    measure = partial(_measure, reference=reference, seen=_visible(volumes))
    facts = {role: measure(volume, role) for role, volume in volumes.items()}
    return [replace(row, **facts.get(row.role, {})) for row in rows]


def _read(case: Case, role: str) -> tuple[VolumeRow, Volume | None]:
    path = case.files[role]
    row = VolumeRow(case.case, role, path.name, case.scheme.value)
    try:
        content = path.read_bytes()
        row = replace(row, sha256=hashlib.sha256(content).hexdigest())
        return row, decode_volume(content, name=path.name)
    except OSError as error:
        return replace(row, problem=f"not readable: {error.strerror}"), None
    except VolumeError as error:
        why = " ".join(str(error).removeprefix(f"{path.name}: ").split())
        return replace(row, problem=why), None


def _measure(volume: Volume, role: str, *, reference: Grid | None, seen: NDArray[np.bool_] | None) -> Facts:
    data, grid = volume.data, volume.grid
    facts = {"shape": grid.shape, "dtype": data.dtype.name, **_measure_grid(grid, reference)}
    if data.dtype.kind not in REAL_KINDS:
        return facts
    flat = data.ravel(order="K")  # in the order of memory: a mask selects several times faster
    finite = flat[np.isfinite(flat)] if data.dtype.kind == "f" else flat
    own = _measure_labels(data, finite, seen) if role == SEGMENTATION else _measure_brain(finite, data.size)
    return {**facts, **_measure_values(data, finite), **own}


def _measure_grid(grid: Grid, reference: Grid | None) -> Facts:
    """Facts of the affine; none of them exists where it is singular or not finite."""
    if not _placed(grid):
        return {}
    deviation = None if reference is None else float(np.abs(grid.affine - reference.affine).max())
    return {
        "spacing_mm": round_spacing(grid.spacing_mm),
        "orientation": grid.orientation,
        "affine_deviation": deviation,
    }


def round_spacing(spacing_mm: Sequence[float]) -> tuple[float, ...]:
    """Round a spacing to the digits in which spacings are compared."""
    return tuple(round(float(mm), SPACING_DIGITS) for mm in spacing_mm)


def _placed(grid: Grid) -> bool:
    return bool(np.isfinite(grid.affine).all() and np.linalg.det(grid.affine) != 0)


def _measure_values(data: Num[NDArray, "d h w"], finite: Num[NDArray, " voxels"]) -> Facts:
    nan = int(np.isnan(data).sum()) if data.dtype.kind == "f" else 0
    known = finite.size > 0
    return {
        "nan_vox": nan,
        "infinite_vox": data.size - finite.size - nan,
        "minimum": finite.min().item() if known else None,
        "maximum": finite.max().item() if known else None,
    }


def _measure_brain(finite: Num[NDArray, " voxels"], voxels: int) -> Facts:
    brain = finite[finite != 0]
    return {
        "brain_fraction": brain.size / voxels if voxels else None,
        "brain_deviation": float(brain.std(dtype=np.float64)) if brain.size else None,
    }


def _measure_labels(
    data: Num[NDArray, "d h w"], finite: Num[NDArray, " voxels"], seen: Bool[NDArray, "d h w"] | None
) -> Facts:
    # Background fills most of the grid: sorting the rest alone is many times faster.
    drawn = finite[finite != 0]
    values = np.unique(drawn).tolist() + [0] * (drawn.size < finite.size)
    tumour = data > 0
    outside = None if seen is None or seen.shape != data.shape else int(np.count_nonzero(tumour & ~seen))
    return {
        "labels": tuple(sorted(values)[:MAX_LABELS]),
        "tumour_vox": int(np.count_nonzero(tumour)),
        "outside_vox": outside,
    }


def _visible(volumes: dict[str, Volume]) -> NDArray[np.bool_] | None:
    """Where any image of the case is not 0, or None where the images cannot be laid on each other."""
    images = [v.data for v in _images(volumes) if v.data.dtype.kind in REAL_KINDS]
    if not images or any(image.shape != images[0].shape for image in images):
        return None
    seen: NDArray[np.bool_] = images[0] != 0
    for image in images[1:]:
        seen |= image != 0
    return seen


def _images(volumes: dict[str, Volume]) -> list[Volume]:
    return [volume for role, volume in volumes.items() if role != SEGMENTATION]


def _find_twins(rows: list[VolumeRow]) -> list[VolumeRow]:
    """Say of each image which earlier one has its bytes; segmentations may well be equal (no tumour)."""
    first: dict[str, str] = {}
    twins = []
    for row in rows:
        name = f"{row.case}/{row.role}"
        if row.sha256 is None or row.role == SEGMENTATION or first.setdefault(row.sha256, name) == name:
            twins.append(row)
        else:
            twins.append(replace(row, same_bytes_as=first[row.sha256]))
    return twins
