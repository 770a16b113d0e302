"""The store of cropped cases: a patch can be read without reading the volume around it.

`<folder>/<case>/` holds, for each resolution, `image_<n>mm.b2nd` (D, H, W, 4) float16 and
`label_<n>mm.b2nd` (D, H, W) uint8, in blocks that Blosc2 packs one by one; `placement.json` says where
the crop lies in the scan. `<folder>/manifest.csv` lists the cases. Where crops are made on the fly, the
store holds no voxels: `glioseg.data.store.on_the_fly` reads the scans.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import blosc2
import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.compute import LOCAL, Cluster
from glioseg.core.errors import GliosegError
from glioseg.core.files import replaced_whole
from glioseg.core.geometry import AFFINE_TOLERANCE
from glioseg.core.labels import LABEL_NAMES, Label, as_labels, from_scheme
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.case_cache import digest_cases, readable, record_cases
from glioseg.data.cohort.cases import COHORT, Case, read_cohort
from glioseg.data.store.cropping import Placement, crop_images, crop_labels
from glioseg.data.store.grids import GridError
from glioseg.data.store.on_the_fly import RawCase
from glioseg.data.store.resolution import coarse_image, coarse_labels

MANIFEST = "manifest.csv"
CHUNK_VOX = 48
"""Edge of a block in voxels: small enough that a 128³ patch reads little beside itself."""
PACK = {"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.NOFILTER], "nthreads": 1}
"""LZ4 reads a patch faster than Zstandard and packs a fifth worse; shuffling bytes gains 2 % of space
and costs an eighth of the time to read. Cases are packed side by side."""


class StoreError(GliosegError):
    """A store that lacks what it should hold; the message names it."""


@runtime_checkable
class Voxels(Protocol):
    """An array on disk or in memory, of which a slice gives NumPy values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, and channels where there are any."""

    def __getitem__(self, index: Any, /) -> Any: ...


@runtime_checkable
class CroppedCase(Protocol):
    """A cropped case that training and validation can read, wherever its voxels come from."""

    @property
    def name(self) -> str:
        """The case's name."""

    @property
    def grade(self) -> str | None:
        """HGG or LGG, where known."""

    @property
    def survival_days(self) -> float | None:
        """Overall survival, where known."""

    @property
    def files(self) -> list[Path]:
        """The files that its voxels come from."""

    def open(self, spacing_mm: int) -> tuple[Voxels, Voxels]:
        """The image (D, H, W, 4) float16 and its dense labels (D, H, W) uint8 at this spacing."""


@dataclass(frozen=True)
class StoredCase:
    """One cropped case on disk."""

    folder: Path
    grade: str | None = None
    survival_days: float | None = None

    @property
    def name(self) -> str:
        """The case's name: that of its folder."""
        return self.folder.name

    @property
    def files(self) -> list[Path]:
        """Those of its folder."""
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def open(self, spacing_mm: int) -> tuple[Voxels, Voxels]:
        """Image and label; see `image` and `label`."""
        return self.image(spacing_mm), self.label(spacing_mm)

    def image(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W, 4) float16 at this spacing, read where it is sliced."""
        return self._array("image", spacing_mm)

    def label(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W) uint8 dense labels at this spacing, read where it is sliced."""
        return self._array("label", spacing_mm)

    @property
    def placement(self) -> Placement:
        """Where the crop lies in the scan."""
        return Placement.load(self.folder)

    def _array(self, kind: str, spacing_mm: int) -> "blosc2.NDArray":
        file = self.folder / f"{kind}_{spacing_mm}mm.b2nd"
        try:
            return blosc2.open(str(file), mode="r")
        except (OSError, RuntimeError) as error:  # of Blosc2, for a header that it cannot read
            raise StoreError(f"{file}: not readable: {' '.join(str(error).split())}") from None


def open_cases(store: Path, names: Sequence[str], *, raw: Path | None) -> list[CroppedCase]:
    """Give the named cases of a store, in the order of the names; nothing is read of their voxels.

    Args:
        store: the folder of all cases.
        names: which cases.
        raw: the folder of the raw cohort, where crops are made on the fly, or None.

    Raises:
        StoreError: no manifest, or a case that manifest, store or raw cohort lacks.
    """
    known = listed_cases(store, raw=raw)
    for name in names:
        if name not in known:
            raise StoreError(f"{store / MANIFEST}: expected a row of {name}, got none")
        if not (store / name).is_dir():
            raise StoreError(f"{store / name}: expected the folder of a cropped case, got none")
    return [known[name] for name in names]


def listed_cases(store: Path, *, raw: Path | None) -> dict[str, CroppedCase]:
    """Every case of the manifest by name, whether or not its voxels are there; see `open_cases`."""
    rows = _read_manifest(store / MANIFEST)
    if raw is None:
        return {row["case"]: _stored(store, row) for row in rows}
    cohort = {case.case: case for case in read_cohort(raw / COHORT)}
    missing = [row["case"] for row in rows if row["case"] not in cohort]
    if missing:
        raise StoreError(f"{raw / COHORT}: expected every case of {store / MANIFEST}, missing {missing}")
    return {row["case"]: RawCase(cohort[row["case"]], store / row["case"]) for row in rows}


def _read_manifest(path: Path) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(path.read_text().splitlines())
        rows, names = list(reader), reader.fieldnames or ()
    except OSError as error:
        raise StoreError(f"{path}: not readable: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path}: not a table: {error}") from None
    needed = ("case", "grade", "survival_days")
    missing = [column for column in needed if column not in names]
    if missing:
        raise StoreError(f"{path}: expected columns {list(needed)}, missing {missing}")
    return rows


def read_table(path: Path, dtype: Mapping[str, type]) -> pd.DataFrame:
    """A table of the store, such as its manifest; `dtype` is that of some columns.

    Raises:
        StoreError: it is not there, or no table.
    """
    try:
        return pd.read_csv(path, dtype=dict(dtype))
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise StoreError(f"{path}: not readable: {error}") from None


def _stored(store: Path, row: dict[str, str]) -> StoredCase:
    try:
        days = float(row["survival_days"]) if row["survival_days"] else None
    except ValueError as error:
        raise StoreError(f"{store / MANIFEST}: {row['case']}: survival_days: {error}") from None
    return StoredCase(store / row["case"], row["grade"] or None, days)


def write_case(
    folder: Path,
    image: Float32[NDArray, "d h w 4"],
    label: UInt8[NDArray, "d h w"],
    placement: Placement,
    *,
    spacings_mm: tuple[int, ...],
) -> StoredCase:
    """Write one case.

    Args:
        folder: the case's own folder.
        image: normalised crop at 1 mm, as from `crop_images`.
        label: dense labels on the same voxels.
        placement: where the crop lies.
        spacings_mm: resolutions to keep; none leaves the placement alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for spacing in spacings_mm:
        _pack(folder / f"image_{spacing}mm.b2nd", coarse_image(image, spacing))
        _pack(folder / f"label_{spacing}mm.b2nd", coarse_labels(label, spacing))
    placement.save(folder)
    return StoredCase(folder)


def store_case(
    case: Case,
    folder: Path,
    *,
    margin_vox: int,
    spacings_mm: tuple[int, ...],
    affine_tolerance: float = AFFINE_TOLERANCE,
) -> dict[str, int]:
    """Read, crop, normalise and store one labelled case.

    Args:
        case: with its four images and its segmentation.
        folder: the case's own folder.
        margin_vox: voxels around the brain.
        spacings_mm: resolutions to keep; none where crops are made on the fly.
        affine_tolerance: how far affines may deviate from that of the first image, as contract.yaml sets it.

    Returns:
        Its columns of the manifest: shape of the crop, and voxels of each label in it and before it.

    Raises:
        GridError: images and segmentation do not lie on one grid; the message names the case.
    """
    volumes = {role: read_volume(file) for role, file in case.files.items()}
    try:
        image, placement = crop_images(volumes, margin_vox=margin_vox, affine_tolerance=affine_tolerance)
    except GridError as error:
        raise GridError(f"{case.case}/{error}") from None
    values = volumes[SEGMENTATION].data
    drawn = values[values != 0]  # of the whole scan, for the count alone
    crop = from_scheme(as_labels(crop_labels(values, placement)), case.scheme)
    write_case(folder, image, crop, placement, spacings_mm=spacings_mm)
    shape = dict(zip(("depth_vox", "height_vox", "width_vox"), crop.shape, strict=True))
    before = from_scheme(as_labels(drawn), case.scheme)
    return {**shape, **_count(crop, "{}_vox"), **_count(before, "raw_{}_vox")}


def store_cohort(
    store: Path,
    cases: Sequence[Case],
    *,
    margin_vox: int,
    spacings_mm: tuple[int, ...],
    affine_tolerance: float = AFFINE_TOLERANCE,
    records: Path,
    cluster: Cluster = LOCAL,
) -> None:
    """Store every case and list them in the manifest; a case that is as it was is not cropped again.

    Args:
        store: the folder of all cases; what it held before is replaced.
        cases: labelled, and accepted by their contract.
        margin_vox: voxels around the brain.
        spacings_mm: resolutions to keep; none where crops are made on the fly.
        affine_tolerance: as for `store_case`; kept beside each crop, for those made on the fly.
        records: folder of what was done before; see `glioseg.data.cohort.case_cache`.
        cluster: where cases are done.
    """
    contents = digest_cases(cases, records=records, cluster=cluster)
    work = partial(
        store_case, margin_vox=margin_vox, spacings_mm=spacings_mm, affine_tolerance=affine_tolerance
    )
    made = record_cases(
        work,
        cases,
        code=__name__,
        facts=lambda case: [contents[case.case], case.scheme, work.keywords],
        reads=lambda case: readable(case, contents[case.case]),
        folder=records / "crop",
        title="crop",
        cluster=cluster,
    )
    with replaced_whole(store) as aside:
        for case, record in zip(cases, made, strict=True):
            record.place(aside / case.case)
        rows = [
            {**_known(case), **record.found, "raw_sha256": _digest(contents[case.case])}
            for case, record in zip(cases, made, strict=True)
        ]
        pd.DataFrame(rows).to_csv(aside / MANIFEST, index=False)


def _known(case: Case) -> dict[str, object]:
    """What the manifest says of a case beside its voxels."""
    names = ("case", "patient", "scheme", "grade", "age", "survival_days")
    return {name: getattr(case, name) for name in names}


def _digest(contents: Mapping[str, str]) -> str:
    """One hash of a case's raw files: without stored voxels nothing else would tell that they changed."""
    return hashlib.sha256("".join(contents[role] for role in sorted(contents)).encode()).hexdigest()


def _count(labels: UInt8[NDArray, "*grid"], column: str) -> dict[str, int]:
    counts = np.bincount(labels[labels != 0], minlength=len(Label))
    return {column.format(name.lower()): int(counts[Label[name]]) for name in LABEL_NAMES}


def _pack(path: Path, array: NDArray[np.generic]) -> None:
    blocks = tuple(min(CHUNK_VOX, n) for n in array.shape[:3]) + array.shape[3:]
    try:
        blosc2.asarray(np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=blocks, cparams=PACK)
    except RuntimeError as error:  # of Blosc2, where the disk is full
        raise StoreError(f"{path}: could not be written: {' '.join(str(error).split())}") from None
