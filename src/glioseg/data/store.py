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

from glioseg.data.crop import Placement
from glioseg.data.volumes import Grid
from glioseg.geometry import Box, downsample
from glioseg.labels import labels_from_regions, regions_from_labels

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
    blosc2.asarray(
        np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=blocks, cparams=PACK
    )
