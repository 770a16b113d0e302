"""The store of cropped cases: a patch can be read without reading the volume around it.

`<folder>/<case>/` holds, for each resolution, `image_<n>mm.b2nd` (D, H, W, 4) float16 and
`label_<n>mm.b2nd` (D, H, W) uint8, in blocks that Blosc2 packs one by one; `placement.json` says where
the crop lies in the scan. `<folder>/manifest.csv` lists the cases.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import blosc2
import numpy as np
from jaxtyping import Float16, Float32, UInt8
from numpy.typing import NDArray

from glioseg.data.cases import SEGMENTATION, Case
from glioseg.data.crop import Placement, crop_images, crop_labels
from glioseg.data.volumes import Grid, read_volume
from glioseg.geometry import Box, downsample
from glioseg.labels import LABEL_NAMES, Label, from_scheme, labels_from_regions, regions_from_labels

MANIFEST = "manifest.csv"
CHUNK_VOX = 48
"""Edge of a block in voxels: small enough that a 128³ patch reads little beside itself."""
PACK = {"codec": blosc2.Codec.ZSTD, "clevel": 1}


@dataclass(frozen=True)
class StoredCase:
    """One cropped case on disk."""

    folder: Path

    def image(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W, 4) float16 at this spacing, read where it is sliced."""
        return blosc2.open(str(self._file("image", spacing_mm)), mode="r")

    def label(self, spacing_mm: int) -> "blosc2.NDArray":
        """(D, H, W) uint8 dense labels at this spacing, read where it is sliced."""
        return blosc2.open(str(self._file("label", spacing_mm)), mode="r")

    @property
    def placement(self) -> Placement:
        """Where the crop lies in the scan."""
        record = json.loads((self.folder / "placement.json").read_text())
        grid = Grid(tuple(record["shape"]), np.array(record["affine"], np.float64))
        return Placement(grid, Box(tuple(record["start"]), tuple(record["stop"])))

    def _file(self, kind: str, spacing_mm: int) -> Path:
        return self.folder / f"{kind}_{spacing_mm}mm.b2nd"


def write_case(
    folder: Path,
    image: Float32[NDArray, "d h w 4"],
    label: UInt8[NDArray, "d h w"],
    placement: Placement,
    *,
    spacings_mm: tuple[int, ...],
) -> StoredCase:
    """Write one case whole or not at all: it is written aside and then renamed.

    Args:
        folder: the case's own folder; its name is the case's.
        image: normalised crop at 1 mm, as from `crop_images`.
        label: dense labels on the same voxels.
        placement: where the crop lies.
        spacings_mm: resolutions to keep; n stands for blocks of n³ voxels averaged.
    """
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for spacing in spacings_mm:
        _pack(aside / f"image_{spacing}mm.b2nd", coarse_image(image, spacing))
        _pack(aside / f"label_{spacing}mm.b2nd", coarse_labels(label, spacing))
    record = {
        "shape": placement.grid.shape,
        "affine": placement.grid.affine.tolist(),
        **asdict(placement.box),
    }
    (aside / "placement.json").write_text(json.dumps(record))
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return StoredCase(folder)


def store_case(
    store: Path, case: Case, *, margin_vox: int, spacings_mm: tuple[int, ...]
) -> dict[str, object]:
    """Read, crop, normalise and store one labelled case; return its row of the manifest.

    Args:
        store: the folder of all cases.
        case: with its four images and its segmentation.
        margin_vox: voxels around the brain.
        spacings_mm: resolutions to keep.
    """
    volumes = {role: read_volume(file) for role, file in case.files.items()}
    image, placement = crop_images(volumes, margin_vox=margin_vox)
    labels = from_scheme(np.rint(volumes[SEGMENTATION].data).astype(np.int16), case.scheme)
    crop = crop_labels(labels, placement)
    write_case(store / case.case, image, crop, placement, spacings_mm=spacings_mm)
    depth, height, width = crop.shape
    return {
        "case": case.case,
        "patient": case.patient,
        "scheme": str(case.scheme),
        "grade": case.grade,
        "age": case.age,
        "survival_days": case.survival_days,
        "depth_vox": depth,
        "height_vox": height,
        "width_vox": width,
        **_count(crop, "{}_vox"),
        **_count(labels, "raw_{}_vox"),
    }


def _count(labels: UInt8[NDArray, "d h w"], column: str) -> dict[str, int]:
    return {column.format(name.lower()): int((labels == Label[name]).sum()) for name in LABEL_NAMES}


def coarse_image(image: Float32[NDArray, "d h w c"], factor: int) -> Float16[NDArray, "e i x c"]:
    """Average blocks of factor³ voxels, in the store's dtype."""
    return (downsample(image, factor) if factor > 1 else image).astype(np.float16)


def coarse_labels(label: UInt8[NDArray, "d h w"], factor: int) -> UInt8[NDArray, "e i x"]:
    """Give each block of factor³ voxels the regions that at least half of its voxels have."""
    if factor == 1:
        return label
    return labels_from_regions(downsample(regions_from_labels(label).astype(np.float32), factor))


def _pack(path: Path, array: NDArray[np.generic]) -> None:
    blocks = tuple(min(CHUNK_VOX, n) for n in array.shape[:3]) + array.shape[3:]
    blosc2.asarray(np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=blocks, cparams=PACK)
