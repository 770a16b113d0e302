"""Statistics of the cropped cases, one row per case and resolution, and the expectations for them.

If crops are made on the fly, the statistics are those of the crops that training would use.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float16, Num, UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.errors import GliosegError
from glioseg.core.labels import LABEL_NAMES, Label
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.case_cache import UNREADABLE, digest_files, lists_to_tuples, map_cached
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.expectations import Expectation, Row, Table, listed
from glioseg.data.store.cropped_cases import MANIFEST, CroppedCase, StoreError, manifest_cases, read_table

COUNTS = tuple(name.lower() for name in LABEL_NAMES)
"""The tumour labels in columns of the manifest: `<label>_vox` in the crop, `raw_<label>_vox` before it."""

OUTSIDE = "outside_brain_vox"
"""Column of the manifest: tumour voxels before the crop where every image is 0. The crop may lose them."""

AXES = ("depth_vox", "height_vox", "width_vox")

ZSCORE_TOLERANCE = 0.01
"""Tolerance of the mean (0) and standard deviation (1) in the brain, since the store holds float16."""

Fields = dict[str, Any]
"""Fields of `CropStatistics` by name."""

ManifestRow = dict[str, object]
"""The row of one case in the manifest."""


@dataclass(frozen=True)
class CropStatistics:
    """Statistics of one case at one resolution. A value that cannot be measured is None.

    `problem`: why the case cannot be read; `manifest_shape`: the shape according to the manifest;
    `non_finite_vox`: NaN or infinite values in all channels; `mean`, `deviation`: of each modality inside the
    brain, only at 1 mm, since averaging over blocks changes the deviation; `stored_vox`, `manifest_vox`,
    `raw_vox`: tumour voxels of each of `COUNTS` in the label map, in the crop according to the manifest, and
    before the crop according to the manifest, only at 1 mm; `outside_vox`: tumour voxels before the crop
    where every image is 0, according to the manifest, only at 1 mm.
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
    outside_vox: int = 0


def measure_store(
    store: Path,
    *,
    spacings_mm: tuple[int, ...],
    raw: Path | None,
    records: Path,
    cluster: Cluster = LOCAL,
) -> list[CropStatistics]:
    """The statistics of every case in the manifest; unchanged cases are not measured again.

    Args:
        store: the folder of all cases.
        spacings_mm: the resolutions that training may use.
        raw: the folder of the raw cohort if crops are made on the fly, or None.
        records: folder of the per-case cache; see `glioseg.data.cohort.case_cache`.
        cluster: workers that measure the cases.

    Raises:
        StoreError: the manifest is missing, lacks a column, or lists no case.
    """
    manifest = _read_manifest(store / MANIFEST)
    cases = manifest_cases(store, raw=raw)
    items = [(cases[row["case"]], row) for row in manifest.to_dict("records")]
    files = [file for case in cases.values() for file in case.files]
    digests = digest_files(files, table=records / "cropped.json", cluster=cluster)
    entries = map_cached(
        partial(_measure_to_json, spacings_mm=spacings_mm),
        items,
        code=__name__,
        key=lambda item: [spacings_mm, item[1], [digests[file] for file in item[0].files]],
        inputs=lambda item: [file for file in item[0].files if digests[file] != UNREADABLE],
        folder=records / "validate_cropped",
        title="measure crops",
        cluster=cluster,
    )
    return [CropStatistics(**lists_to_tuples(row)) for entry in entries for row in entry.result]


def _read_manifest(path: Path) -> pd.DataFrame:
    manifest = read_table(path, {"case": str})
    needed = ["case", *AXES, OUTSIDE, *(f"{prefix}{name}_vox" for prefix in ("", "raw_") for name in COUNTS)]
    missing = [column for column in needed if column not in manifest]
    if missing:
        raise StoreError(f"{path}: expected columns {needed}, missing {missing}")
    if manifest.empty:
        raise StoreError(f"{path}: expected a row for each cropped case, got none")
    try:
        return manifest[needed].astype(dict.fromkeys(needed[1:], int))
    except ValueError as error:
        raise StoreError(f"{path}: expected whole numbers of voxels: {error}") from None


def _measure_to_json(
    item: tuple[CroppedCase, ManifestRow], _: Path, *, spacings_mm: tuple[int, ...]
) -> list[Fields]:
    return [asdict(_measure(*item, spacing_mm)) for spacing_mm in spacings_mm]


def _measure(case: CroppedCase, manifest: ManifestRow, spacing_mm: int) -> CropStatistics:
    name, file = case.name, f"crop at {spacing_mm} mm"
    # Blosc2 raises RuntimeError for a chunk that it cannot unpack.
    try:
        image, label = (array[:] for array in case.open(spacing_mm))
    except (GliosegError, OSError, RuntimeError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        return CropStatistics(name, file, spacing_mm, problem=problem)
    d, h, w = (-(-int(str(manifest[axis])) // spacing_mm) for axis in AXES)
    return CropStatistics(
        name,
        file,
        spacing_mm,
        image_shape=image.shape[:3],
        label_shape=label.shape,
        manifest_shape=(d, h, w),
        channels=image.shape[3] if image.ndim == 4 else 0,
        non_finite_vox=int(image.size - np.count_nonzero(np.isfinite(image))),
        labels=tuple(np.unique(label).tolist()),
        **(_measure_at_1_mm(image, label, manifest) if spacing_mm == 1 else {}),
    )


def _measure_at_1_mm(
    image: Num[NDArray, "..."], label: UInt8[NDArray, "..."], manifest: ManifestRow
) -> Fields:
    """Intensities, and tumour voxels before and after the crop."""
    intensities = _measure_brain(image) if image.ndim == 4 and image.shape[3] == len(MODALITIES) else {}
    return {
        **intensities,
        "stored_vox": {name: int((label == Label[name.upper()]).sum()) for name in COUNTS},
        "manifest_vox": {name: int(str(manifest[f"{name}_vox"])) for name in COUNTS},
        "raw_vox": {name: int(str(manifest[f"raw_{name}_vox"])) for name in COUNTS},
        "outside_vox": int(str(manifest[OUTSIDE])),
    }


def _measure_brain(image: Float16[NDArray, "d h w 4"]) -> Fields:
    """Mean and standard deviation of each modality in the brain mask, over finite values."""
    brain = image[brain_mask_of_channels(image)].astype(np.float32)
    brain = brain[np.isfinite(brain).all(axis=-1)]
    if brain.size == 0:
        return {}
    mean, deviation = brain.mean(axis=0, dtype=np.float64), brain.std(axis=0, dtype=np.float64)
    return {
        "mean": dict(zip(MODALITIES, mean.round(6).tolist(), strict=True)),
        "deviation": dict(zip(MODALITIES, deviation.round(6).tolist(), strict=True)),
    }


def crop_tables(crops: Sequence[CropStatistics]) -> list[Table]:
    """The table of cropped cases with its expectations.

    Args:
        crops: statistics, as from `measure_store`.
    """
    expectations = [*_array_expectations(), *_intensity_expectations(), *_count_expectations()]
    return [Table("cropped_cases", [_row(crop) for crop in crops], expectations)]


def _array_expectations() -> Iterator[Expectation]:
    channels = len(MODALITIES)
    yield expect.absent("readable", "problem", expected="an image and a label", observed="{problem}")
    yield expect.equal(
        "image shape", "image_shape", "manifest_shape", expected="{manifest_shape} as the manifest says"
    )
    yield expect.equal("label shape", "label_shape", "image_shape", expected="{image_shape} as the image has")
    yield expect.one_of("channels", "channels", [channels], expected=str(channels), observed="{channels}")
    yield expect.between(
        "finite", "non_finite_vox", expected="finite values", observed="{non_finite_vox} others", max_value=0
    )
    yield expect.only_labels("labels", "labels", Label, expected=str(listed(Label)))


def _intensity_expectations() -> Iterator[Expectation]:
    for modality in MODALITIES:
        yield _near(f"mean of {modality}", f"mean_{modality}", 0)
        yield _near(f"deviation of {modality}", f"deviation_{modality}", 1)


def _near(name: str, column: str, target: int) -> Expectation:
    return expect.between(
        name,
        column,
        expected=f"{target} to {ZSCORE_TOLERANCE:g} in the brain",
        observed=f"{{{column}}}",
        min_value=target - ZSCORE_TOLERANCE,
        max_value=target + ZSCORE_TOLERANCE,
    )


def _count_expectations() -> Iterator[Expectation]:
    """Expectations that the scan, the manifest and the store have the same number of tumour voxels.

    Only voxels outside the brain may be missing from the manifest, which holds the numbers of the crop.
    """
    for name in COUNTS:
        stored, manifest, kept = f"stored_{name}_vox", f"manifest_{name}_vox", f"kept_{name}_vox"
        yield expect.equal(f"{name} voxels kept", manifest, kept, expected=f"{{{kept}}} as before the crop")
        yield expect.equal(
            f"{name} voxels stored", stored, manifest, expected=f"{{{manifest}}} as the manifest says"
        )


def _kept_vox(crop: CropStatistics, name: str) -> int | None:
    """Expected tumour voxels of a label in the crop: those of the scan, except any outside the brain."""
    if name not in crop.raw_vox:
        return None
    raw, manifest = crop.raw_vox[name], crop.manifest_vox[name]
    return manifest if 0 <= raw - manifest <= crop.outside_vox else raw


def _row(crop: CropStatistics) -> Row:
    shapes = {name: getattr(crop, name) for name in ("image_shape", "label_shape", "manifest_shape")}
    return {
        **asdict(crop),
        "role": "",
        **{name: None if shape is None else str(shape) for name, shape in shapes.items()},
        "labels": listed(crop.labels),
        **{f"mean_{m}": crop.mean.get(m) for m in MODALITIES},
        **{f"deviation_{m}": crop.deviation.get(m) for m in MODALITIES},
        **{f"stored_{name}_vox": crop.stored_vox.get(name) for name in COUNTS},
        **{f"manifest_{name}_vox": crop.manifest_vox.get(name) for name in COUNTS},
        **{f"kept_{name}_vox": _kept_vox(crop, name) for name in COUNTS},
    }
