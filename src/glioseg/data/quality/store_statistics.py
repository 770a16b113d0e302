"""The measured table of the crops: one row a case and resolution. It states facts and judges nothing.

Where crops are made on the fly, it measures what training would see.

`glioseg.data.quality.gx_validation` holds the table to its expectations.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float16, Num, UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.labels import LABEL_NAMES, Label
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.case_cache import UNREAD, digest_files, record_cases, tuples
from glioseg.data.store.cropped_store import MANIFEST, CroppedCase, StoreError, listed_cases, read_table

COUNTS = tuple(name.lower() for name in LABEL_NAMES)
"""The tumour labels as the manifest spells them: `<label>_vox` in the crop, `raw_<label>_vox` before it."""

AXES = ("depth_vox", "height_vox", "width_vox")

Facts = dict[str, Any]
"""Fields of `CropRow` by name."""


@dataclass(frozen=True)
class CropRow:
    """What training sees of one case at one resolution. A fact that cannot be measured is None.

    `problem`: why it cannot be read; `manifest_shape`: the shape that follows from the manifest;
    `non_finite_vox`: NaN or infinite values over all channels; `mean`, `deviation`: of each modality
    inside the brain, at 1 mm only, since averaging blocks changes the deviation; `stored_vox`,
    `manifest_vox`, `raw_vox`: tumour voxels of each of `COUNTS` in the label map, and in the crop and
    before it as the manifest says, at 1 mm only.
    """

    case: str
    file: str
    spacing_mm: int
    problem: str | None = None
    image_shape: tuple[int, ...] | None = None
    label_shape: tuple[int, ...] | None = None
    manifest_shape: tuple[int, ...] | None = None
    channels: int | None = None
    non_finite_vox: int | None = None
    labels: tuple[int, ...] | None = None
    mean: dict[str, float] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    stored_vox: dict[str, int] = field(default_factory=dict)
    manifest_vox: dict[str, int] = field(default_factory=dict)
    raw_vox: dict[str, int] = field(default_factory=dict)


def measure_store(
    store: Path,
    *,
    spacings_mm: tuple[int, ...],
    raw: Path | None,
    records: Path,
    cluster: Cluster = LOCAL,
) -> list[CropRow]:
    """Measure every case that the manifest lists; one that is as it was is not measured again.

    Args:
        store: the folder of all cases.
        spacings_mm: the resolutions that training may ask for.
        raw: the folder of the raw cohort, where crops are made on the fly, or None.
        records: folder of what was done before; see `glioseg.data.cohort.case_cache`.
        cluster: where cases are done.

    Raises:
        StoreError: no manifest, one without its columns, or one that lists no case.
    """
    manifest = _read_manifest(store / MANIFEST)
    cases = listed_cases(store, raw=raw)
    listed = [(cases[row["case"]], row) for row in manifest.to_dict("records")]
    files = [file for case in cases.values() for file in case.files]
    contents = digest_files(files, table=records / "cropped.json", cluster=cluster)
    measured = record_cases(
        partial(_measured, spacings_mm=spacings_mm),
        listed,
        code=__name__,
        facts=lambda given: [spacings_mm, given[1], [contents[file] for file in given[0].files]],
        reads=lambda given: [file for file in given[0].files if contents[file] != UNREAD],
        folder=records / "validate_cropped",
        title="measure crops",
        cluster=cluster,
    )
    return [CropRow(**tuples(row)) for record in measured for row in record.found]


def _measured(
    listed: tuple[CroppedCase, dict[str, object]], _: Path, *, spacings_mm: tuple[int, ...]
) -> list[Facts]:
    return [asdict(row) for row in measure_case(listed, spacings_mm=spacings_mm)]


def _read_manifest(path: Path) -> pd.DataFrame:
    manifest = read_table(path, {"case": str})
    needed = ["case", *AXES, *(f"{prefix}{name}_vox" for prefix in ("", "raw_") for name in COUNTS)]
    missing = [column for column in needed if column not in manifest]
    if missing:
        raise StoreError(f"{path}: expected columns {needed}, missing {missing}")
    if manifest.empty:
        raise StoreError(f"{path}: expected a row for each cropped case, got none")
    try:
        return manifest[needed].astype(dict.fromkeys(needed[1:], int))
    except ValueError as error:
        raise StoreError(f"{path}: expected whole numbers of voxels: {error}") from None


def measure_case(
    listed: tuple[CroppedCase, dict[str, object]], *, spacings_mm: tuple[int, ...]
) -> list[CropRow]:
    """Measure one case at every resolution.

    Args:
        listed: the case, and its row of the manifest.
        spacings_mm: the resolutions that training may ask for.
    """
    return [_measure(*listed, spacing) for spacing in spacings_mm]


def _measure(case: CroppedCase, listed: dict[str, object], spacing_mm: int) -> CropRow:
    name, file = case.name, f"crop at {spacing_mm} mm"
    # Blosc2 raises RuntimeError for a chunk that it cannot unpack.
    try:
        image, label = (array[:] for array in case.open(spacing_mm))
    except (GliosegError, OSError, RuntimeError) as error:
        return CropRow(name, file, spacing_mm, problem=" ".join(str(error).split()) or type(error).__name__)
    d, h, w = (-(-int(str(listed[axis])) // spacing_mm) for axis in AXES)
    return CropRow(
        name,
        file,
        spacing_mm,
        image_shape=image.shape[:3],
        label_shape=label.shape,
        manifest_shape=(d, h, w),
        channels=image.shape[3] if image.ndim == 4 else 0,
        non_finite_vox=int(image.size - np.count_nonzero(np.isfinite(image))),
        labels=tuple(np.unique(label).tolist()),
        **(_measure_full(image, label, listed) if spacing_mm == 1 else {}),
    )


def _measure_full(
    image: Num[NDArray, "..."], label: UInt8[NDArray, "..."], listed: dict[str, object]
) -> Facts:
    """What is known at full resolution alone: brightness, and tumour voxels before and after the crop."""
    brightness = _measure_brain(image) if image.ndim == 4 and image.shape[3] == len(MODALITIES) else {}
    return {
        **brightness,
        "stored_vox": {name: int((label == Label[name.upper()]).sum()) for name in COUNTS},
        "manifest_vox": {name: int(str(listed[f"{name}_vox"])) for name in COUNTS},
        "raw_vox": {name: int(str(listed[f"raw_{name}_vox"])) for name in COUNTS},
    }


def _measure_brain(image: Float16[NDArray, "d h w 4"]) -> Facts:
    """Mean and standard deviation of each modality where any is not 0; of finite values only."""
    brain = image[(image != 0).any(axis=-1)].astype(np.float32)
    brain = brain[np.isfinite(brain).all(axis=-1)]
    if brain.size == 0:
        return {}
    mean, deviation = brain.mean(axis=0, dtype=np.float64), brain.std(axis=0, dtype=np.float64)
    return {
        "mean": dict(zip(MODALITIES, mean.round(6).tolist(), strict=True)),
        "deviation": dict(zip(MODALITIES, deviation.round(6).tolist(), strict=True)),
    }
