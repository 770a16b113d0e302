"""Facts of the volumes of one case: one row a volume. It states them and judges nothing.

`glioseg.data.quality.raw_expectations` says what they must be.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3, round_spacing
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.core.nifti import Grid, Volume
from glioseg.data.cohort.case_io import Scan
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.image_quality import measure_oddities
from glioseg.data.store.grids import affine_deviation

MAX_LABELS = 10
"""Label values listed a volume: more than any scheme has, so a longer list is never needed."""

HUGE = 1e100
"""A voxel beyond this is as good as infinite: its square, which deviations need, soon is."""

DULLER = ("t1", "flair")
"""In T2 alone fluid outshines the brain, so its tail is longer than theirs; that of T1ce may be as long."""

Facts = dict[str, Any]
"""Fields of `VolumeRow` by name."""


@dataclass(frozen=True)
class VolumeRow:
    """What one file of a case holds. A fact that cannot be measured, as in a truncated file, is None.

    `problem`: why the file cannot be read; `case_shape`: what most volumes of the case have;
    `affine_deviation`: largest difference of an entry of the affine from that of the case's first
    image; `minimum`, `maximum`: of the finite voxels; `brain_fraction`: share of an image's voxels that
    are not 0; `brain_deviation`: standard deviation of those voxels, 0 where there are none; `range`,
    `peak`, `tail`, `detail`, `fingerprint`: see `oddities.measure_oddities`; `tail_over_t2`: of T1 and
    FLAIR, over the tail of the case's T2; `labels`: the values of a segmentation, `MAX_LABELS` at most;
    `tumour_vox`: voxels above 0 in it; `outside_vox`: those of them where every image of the case is 0;
    `same_bytes_as`: an earlier image with the same bytes, as `<case>/<role>`.
    """

    case: str
    role: str
    file: str
    scheme: str
    problem: str | None = None
    sha256: str | None = None
    same_bytes_as: str | None = None
    shape: Shape3 | None = None
    case_shape: Shape3 | None = None
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
    range: float | None = None
    peak: float | None = None
    tail: float | None = None
    tail_over_t2: float | None = None
    detail: float | None = None
    fingerprint: str | None = None
    labels: tuple[int | float, ...] | None = None
    tumour_vox: int | None = None
    outside_vox: int | None = None


def measure_scans(case: Case, scans: Mapping[str, Scan]) -> list[VolumeRow]:
    """Measure the volumes of one case; one that cannot be read gets a row that says why.

    Args:
        case: whose they are.
        scans: by role, as from `scans.open_scans`.
    """
    found = {role: scans[role].volume for role in ROLES if role in scans}
    volumes = {role: volume for role, volume in found.items() if volume is not None}
    reference = next((image.grid for image in _images(volumes) if image.grid.placed), None)
    shapes = Counter(volume.grid.shape for volume in volumes.values())
    common = {"case_shape": shapes.most_common(1)[0][0] if shapes else None}
    measure = partial(_measure, reference=reference, seen=_visible(volumes))
    facts = {role: measure(volume, role) | common for role, volume in volumes.items()}
    rows = [
        VolumeRow(case.case, role, scan.file, case.scheme.value, scan.problem, scan.sha256)
        for role, scan in scans.items()
    ]
    t2 = facts.get("t2", {}).get("tail")
    for role in DULLER:
        if t2 and (tail := facts.get(role, {}).get("tail")):
            facts[role]["tail_over_t2"] = tail / t2
    return [replace(row, **facts.get(row.role, {})) for row in rows]


def _measure(volume: Volume, role: str, *, reference: Grid | None, seen: NDArray[np.bool_] | None) -> Facts:
    data, grid = volume.data, volume.grid
    facts = {"shape": grid.shape, "dtype": _type_name(data.dtype), **_measure_grid(grid, reference)}
    if not volume.real:
        return facts
    flat = data.ravel(order="K")  # in the order of memory: a mask selects several times faster
    finite = flat[np.isfinite(flat)] if data.dtype.kind == "f" else flat
    finite = finite[np.abs(finite) < HUGE] if data.dtype == np.float64 else finite
    own = _measure_labels(data, finite, seen) if role == SEGMENTATION else _measure_brain(volume, finite)
    return {**facts, **_measure_values(data, finite), **own}


def _type_name(dtype: np.dtype) -> str:
    return dtype.name if dtype.names is None else f"colours {''.join(dtype.names)}"


def _measure_grid(grid: Grid, reference: Grid | None) -> Facts:
    """Facts of the affine; none of them exists where it is singular or not finite."""
    if not grid.placed:
        return {}
    return {
        "spacing_mm": round_spacing(grid.spacing_mm),
        "orientation": grid.orientation,
        "affine_deviation": None if reference is None else affine_deviation(grid, reference),
    }


def _measure_values(data: Num[NDArray, "d h w"], finite: Num[NDArray, " voxels"]) -> Facts:
    nan = int(np.isnan(data).sum()) if data.dtype.kind == "f" else 0
    known = finite.size > 0
    return {
        "nan_vox": nan,
        "infinite_vox": data.size - finite.size - nan,
        "minimum": finite.min().item() if known else None,
        "maximum": finite.max().item() if known else None,
    }


def _measure_brain(image: Volume, finite: Num[NDArray, " voxels"]) -> Facts:
    brain, voxels = finite[finite != 0], image.data.size
    whole = finite.size == voxels and image.grid.placed
    return {
        "brain_fraction": brain.size / voxels if voxels else None,
        "brain_deviation": float(brain.std(dtype=np.float64)) if brain.size else 0.0,
        **(measure_oddities(image.data, brain, image.grid.to_lps) if whole else {}),
    }


def _measure_labels(
    data: Num[NDArray, "d h w"], finite: Num[NDArray, " voxels"], seen: Bool[NDArray, "_ _ _"] | None
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
    images = [image.data for image in _images(volumes) if image.real]
    if not images or any(image.shape != images[0].shape for image in images):
        return None
    seen: NDArray[np.bool_] = images[0] != 0
    for image in images[1:]:
        seen |= image != 0
    return seen


def _images(volumes: dict[str, Volume]) -> list[Volume]:
    """In the order of `MODALITIES`, so that the first is the same wherever a case comes from."""
    return [volumes[name] for name in MODALITIES if name in volumes]
