"""Writes the store of cropped cases, from which a patch can be read without reading the whole volume.

`<folder>/<case>/` contains, for each resolution, `image_<n>mm.b2nd` (D, H, W, 4) float16 and
`label_<n>mm.b2nd` (D, H, W) uint8, in blocks that Blosc2 compresses one by one, and `placement.json`, the
position of the crop in the scan. `<folder>/manifest.csv` lists the cases. If crops are made on the fly, the
store contains no voxels. `glioseg.data.store.cropped_cases` reads the store.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import blosc2
import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.brain import brain_mask
from glioseg.core.files import replace_folder_atomic
from glioseg.core.geometry import AFFINE_TOLERANCE_MM
from glioseg.core.labels import LABEL_NAMES, Label, from_scheme, round_labels
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.case_cache import digest_cases, map_cached, readable_files
from glioseg.data.cohort.cases import Case, read_images, turned_alike
from glioseg.data.store.cropped_cases import MANIFEST, StoredCase, StoreError
from glioseg.data.store.cropping import (
    Placement,
    crop_and_normalise,
    crop_labels,
    downsample_image,
    downsample_labels,
)
from glioseg.data.store.grids import GridError

CHUNK_VOX = 48
"""Edge of a block: small enough that reading a 128³ patch decompresses few voxels outside it."""
COMPRESSION = {"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.NOFILTER], "nthreads": 1}
"""LZ4 reads a patch faster than Zstandard, and its files are a fifth larger. Shuffling bytes saves 2 % of
space and adds an eighth to the time of reading. One thread is enough: cases are written in parallel."""


def write_case(
    folder: Path,
    image: Float32[NDArray, "d h w 4"],
    label: UInt8[NDArray, "d h w"],
    placement: Placement,
    *,
    spacings_mm: tuple[int, ...],
) -> StoredCase:
    """Write one case, and return it.

    Args:
        folder: folder of the case.
        image: normalised crop at 1 mm, as from `crop_and_normalise`.
        label: dense labels on the same voxels.
        placement: position of the crop in the scan.
        spacings_mm: resolutions to store; with none, only the placement is stored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for spacing in spacings_mm:
        write_array(folder / f"image_{spacing}mm.b2nd", downsample_image(image, spacing))
        write_array(folder / f"label_{spacing}mm.b2nd", downsample_labels(label, spacing))
    placement.save(folder)
    return StoredCase(folder)


def store_case(
    case: Case,
    folder: Path,
    *,
    margin_vox: int,
    spacings_mm: tuple[int, ...],
    affine_tolerance: float = AFFINE_TOLERANCE_MM,
) -> dict[str, int]:
    """Read, crop, normalise and store one labelled case.

    Args:
        case: case with its four images and its segmentation.
        folder: folder of the case in the store.
        margin_vox: voxels around the brain.
        spacings_mm: resolutions to store; none if crops are made on the fly.
        affine_tolerance: largest accepted difference from the affine of the first image, as contract.yaml
            sets it.

    Returns:
        Columns of the manifest: shape of the crop, voxels of each label in the crop and in the scan, and
        labelled voxels of the scan where every image is 0.

    Raises:
        GridError: images and segmentation do not lie on one grid; the message names the case.
    """
    volumes = turned_alike({**read_images(case), SEGMENTATION: read_volume(case.files[SEGMENTATION])})
    try:
        image, placement = crop_and_normalise(
            volumes, margin_vox=margin_vox, affine_tolerance=affine_tolerance
        )
    except GridError as error:
        raise GridError(f"{case.case}/{error}") from None
    values = volumes[SEGMENTATION].data
    crop = from_scheme(round_labels(crop_labels(values, placement)), case.scheme)
    write_case(folder, image, crop, placement, spacings_mm=spacings_mm)
    shape = dict(zip(("depth_vox", "height_vox", "width_vox"), crop.shape, strict=True))
    in_scan = from_scheme(round_labels(values[values != 0]), case.scheme)  # labelled voxels, for the counts
    outside = np.count_nonzero((values != 0) & ~brain_mask(volumes[name].data for name in MODALITIES))
    return {
        **shape,
        **_label_counts(crop, "{}_vox"),
        **_label_counts(in_scan, "raw_{}_vox"),
        "outside_brain_vox": int(outside),
    }


def store_cohort(
    store: Path,
    cases: Sequence[Case],
    *,
    margin_vox: int,
    spacings_mm: tuple[int, ...],
    affine_tolerance: float = AFFINE_TOLERANCE_MM,
    records: Path,
    cluster: Cluster = LOCAL,
) -> None:
    """Store all cases, and list them in the manifest; unchanged cases come from the per-case cache.

    Args:
        store: folder of all cases; its previous content is replaced.
        cases: labelled cases that validation accepted.
        margin_vox: voxels around the brain.
        spacings_mm: resolutions to store; none if crops are made on the fly.
        affine_tolerance: as for `store_case`; each placement records it, for crops made on the fly.
        records: folder of the per-case cache; see `glioseg.data.cohort.case_cache`.
        cluster: workers that crop the cases.
    """
    digests = digest_cases(cases, records=records, cluster=cluster)
    work = partial(
        store_case, margin_vox=margin_vox, spacings_mm=spacings_mm, affine_tolerance=affine_tolerance
    )
    entries = map_cached(
        work,
        cases,
        code=__name__,
        key=lambda case: [digests[case.case], case.scheme, work.keywords],
        inputs=lambda case: readable_files(case, digests[case.case]),
        folder=records / "crop",
        title="crop",
        cluster=cluster,
    )
    with replace_folder_atomic(store) as new:
        for case, entry in zip(cases, entries, strict=True):
            entry.link_files(new / case.case)
        rows = [
            {**_cohort_columns(case), **entry.result, "raw_sha256": _raw_sha256(digests[case.case])}
            for case, entry in zip(cases, entries, strict=True)
        ]
        pd.DataFrame(rows).to_csv(new / MANIFEST, index=False)


def _cohort_columns(case: Case) -> dict[str, object]:
    """Columns of the manifest that come from cohort.csv."""
    names = ("case", "patient", "scheme", "grade", "age", "survival_days")
    return {name: getattr(case, name) for name in names}


def _raw_sha256(digests: Mapping[str, str]) -> str:
    """Hash of a case's raw files, so that the manifest changes with them even if no voxels are stored."""
    return hashlib.sha256("".join(digests[role] for role in sorted(digests)).encode()).hexdigest()


def _label_counts(labels: UInt8[NDArray, "*grid"], column: str) -> dict[str, int]:
    counts = np.bincount(labels[labels != 0], minlength=len(Label))
    return {column.format(name.lower()): int(counts[Label[name]]) for name in LABEL_NAMES}


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array (D, H, W) or (D, H, W, C) in compressed blocks."""
    blocks = tuple(min(CHUNK_VOX, n) for n in array.shape[:3]) + array.shape[3:]
    try:
        blosc2.asarray(
            np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=blocks, cparams=COMPRESSION
        )
    except RuntimeError as error:  # Blosc2 raises it if the disk is full
        raise StoreError(f"{path}: could not be written: {' '.join(str(error).split())}") from None
