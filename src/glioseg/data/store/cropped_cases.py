"""Cropped cases as training and validation read them.

A `StoredCase` reads its voxels from the store, a patch at a time. An `OnTheFlyCase` crops its raw scans each
time that it is opened; the store then contains only the placements of the crops. Both give the same voxels.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import blosc2
import numpy as np
import pandas as pd
from jaxtyping import Float16, Num, UInt8
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.labels import from_scheme, round_labels
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import COHORT, Case, read_cohort, read_image
from glioseg.data.store.cropping import (
    PLACEMENT,
    CropError,
    Placement,
    downsample_image,
    downsample_labels,
    normalise_images,
)
from glioseg.data.store.grids import check_grid

MANIFEST = "manifest.csv"


class StoreError(GliosegError):
    """A file or a case of the store is missing or invalid; the message names it."""


@runtime_checkable
class Voxels(Protocol):
    """An array on disk or in memory; a slice of it is a NumPy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, and channels of an image."""

    def __getitem__(self, index: Any, /) -> Any: ...


@runtime_checkable
class CroppedCase(Protocol):
    """The interface through which training and validation read a cropped case."""

    @property
    def name(self) -> str:
        """Name of the case."""

    @property
    def grade(self) -> str | None:
        """HGG or LGG, if known."""

    @property
    def survival_days(self) -> float | None:
        """Overall survival, if known."""

    @property
    def files(self) -> list[Path]:
        """The files that contain its voxels."""

    def open(self, spacing_mm: int) -> tuple[Voxels, Voxels]:
        """Image (D, H, W, 4) float16 and dense labels (D, H, W) uint8 at this spacing."""


@dataclass(frozen=True)
class StoredCase:
    """One cropped case in the store."""

    folder: Path
    grade: str | None = None
    survival_days: float | None = None

    @property
    def name(self) -> str:
        """Name of the case and of its folder."""
        return self.folder.name

    @property
    def files(self) -> list[Path]:
        """The files of its folder."""
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def open(self, spacing_mm: int) -> tuple[Voxels, Voxels]:
        """Image and label; see `image` and `label`."""
        return self.image(spacing_mm), self.label(spacing_mm)

    def image(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W, 4) float16 at this spacing; slicing reads it."""
        return self._array("image", spacing_mm)

    def label(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W) uint8 dense labels at this spacing; slicing reads them."""
        return self._array("label", spacing_mm)

    @property
    def placement(self) -> Placement:
        """Position of the crop in the scan."""
        return Placement.load(self.folder)

    def _array(self, kind: str, spacing_mm: int) -> "blosc2.NDArray":
        file = self.folder / f"{kind}_{spacing_mm}mm.b2nd"
        try:
            return blosc2.open(str(file), mode="r")
        except (OSError, RuntimeError) as error:  # Blosc2 raises RuntimeError for an invalid header
            raise StoreError(f"{file}: not readable: {' '.join(str(error).split())}") from None


@dataclass(frozen=True)
class OnTheFlyCase:
    """One raw case, and its folder in the store, which contains the placement of the crop.

    It keeps no voxels in memory between calls of `open`.
    """

    case: Case
    folder: Path

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.case.case

    @property
    def grade(self) -> str | None:
        """HGG or LGG, if known."""
        return self.case.grade

    @property
    def survival_days(self) -> float | None:
        """Overall survival, if known."""
        return self.case.survival_days

    @property
    def files(self) -> list[Path]:
        """The four images, the segmentation, and the placement of the crop."""
        return [*self.case.files.values(), self.folder / PLACEMENT]

    @property
    def placement(self) -> Placement:
        """Position of the crop in the scan."""
        return Placement.load(self.folder)

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Image and dense labels: the raw files, cropped, normalised and downsampled as for the store.

        Args:
            spacing_mm: resolution.

        Raises:
            CropError: the case lacks a file, or its placement is invalid.
            VolumeError: a file is not readable.
            GridError: a file lies on another grid than the crop.
        """
        placement = self.placement
        image = normalise_images({name: self._crop(name, placement) for name in MODALITIES})
        labels = from_scheme(round_labels(self._crop(SEGMENTATION, placement)), self.case.scheme)
        return downsample_image(image, spacing_mm), downsample_labels(labels, spacing_mm)

    def _crop(self, role: str, placement: Placement) -> Num[NDArray, "d h w"]:
        """Crop of one volume: a copy, so that the whole volume is freed before the next one is read."""
        if role not in self.case.files:
            raise CropError(f"{self.name}/{role}: expected a raw scan to crop, got none")
        read = read_volume if role == SEGMENTATION else read_image
        volume = read(self.case.files[role]).turned_to(placement.grid)
        tolerance = placement.affine_tolerance
        check_grid(f"{self.name}/{role}", volume.grid, placement.grid, tolerance=tolerance)
        return np.array(placement.grid.to_lps(volume.data)[placement.box.slices], order="C")


def open_cases(store: Path, names: Sequence[str], *, raw: Path | None) -> list[CroppedCase]:
    """The named cases of a store, in the order of the names; no voxels are read.

    Args:
        store: folder of all cases.
        names: names of the cases.
        raw: folder of the raw cohort, if crops are made on the fly; otherwise None.

    Raises:
        StoreError: the manifest is not readable; or a case is missing in the manifest, the store or the raw
            cohort.
    """
    cases = manifest_cases(store, raw=raw)
    for name in names:
        if name not in cases:
            raise StoreError(f"{store / MANIFEST}: expected a row of {name}, got none")
        if not (store / name).is_dir():
            raise StoreError(f"{store / name}: expected the folder of a cropped case, got none")
    return [cases[name] for name in names]


def manifest_cases(store: Path, *, raw: Path | None) -> dict[str, CroppedCase]:
    """All cases of the manifest by name, with or without voxels in the store; see `open_cases`."""
    rows = _read_manifest(store / MANIFEST)
    if raw is None:
        return {row["case"]: _stored_case(store, row) for row in rows}
    cohort = {case.case: case for case in read_cohort(raw / COHORT)}
    missing = [row["case"] for row in rows if row["case"] not in cohort]
    if missing:
        raise StoreError(f"{raw / COHORT}: expected every case of {store / MANIFEST}, missing {missing}")
    return {row["case"]: OnTheFlyCase(cohort[row["case"]], store / row["case"]) for row in rows}


def _read_manifest(path: Path) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(path.read_text().splitlines())
        rows, names = list(reader), reader.fieldnames or ()
    except OSError as error:
        raise StoreError(f"{path}: not readable: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path}: not a table: {error}") from None
    required = ("case", "grade", "survival_days")
    missing = [column for column in required if column not in names]
    if missing:
        raise StoreError(f"{path}: expected columns {list(required)}, missing {missing}")
    return rows


def read_table(path: Path, dtype: Mapping[str, type]) -> pd.DataFrame:
    """A table of the store, such as its manifest.

    Args:
        path: path of the CSV file.
        dtype: dtype of each column whose type pandas must not infer.

    Raises:
        StoreError: the file is missing, or not a table.
    """
    try:
        return pd.read_csv(path, dtype=dict(dtype))
    except (OSError, ValueError) as error:  # the errors of pandas are ValueErrors
        raise StoreError(f"{path}: not readable: {error}") from None


def _stored_case(store: Path, row: dict[str, str]) -> StoredCase:
    try:
        days = float(row["survival_days"]) if row["survival_days"] else None
    except ValueError as error:
        raise StoreError(f"{store / MANIFEST}: {row['case']}: survival_days: {error}") from None
    return StoredCase(store / row["case"], row["grade"] or None, days)
