"""Small pictures of the volumes that a validation refused or warned of."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from numpy.typing import NDArray
from PIL import Image

from glioseg.core.nifti import Volume, VolumeError, read_volume
from glioseg.data.quality.validation_report import Verdict

FOLDER = "pictures"

MOST = 200
"""Volumes that are drawn, so that a cohort that is odd throughout does not take hours."""

HEIGHT_PX = 96
WINDOW = (1, 99)
"""Percentiles of the voxels that are not 0: black and white."""

Drawn = dict[tuple[str, str], str]
"""By case and role: the picture's place in the pages, or nothing where the volume cannot be drawn."""


def draw_findings(files: Mapping[str, Mapping[str, Path]], verdict: Verdict, pages: Path) -> Drawn:
    """Draw the volumes of a verdict's violations and warnings, into a folder of the pages.

    Args:
        files: the file of each role of each case.
        verdict: what was found.
        pages: folder of the pages.
    """
    marked = dict.fromkeys((f.case, f.role) for f in (*verdict.violations, *verdict.warnings))
    known = [(case, role) for case, role in marked if role in files.get(case, {})][:MOST]
    (pages / FOLDER).mkdir()
    return {
        (case, role): _draw(files[case][role], pages, f"{FOLDER}/{number}.png")
        for number, (case, role) in enumerate(known)
    }


def _draw(file: Path, pages: Path, place: str) -> str:
    try:
        picture = thumbnail(read_volume(file))
    except VolumeError:
        return ""
    if picture is None:
        return ""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    (pages / place).write_bytes(content.getvalue())
    return place


def thumbnail(volume: Volume) -> UInt8[NDArray, "i j"] | None:
    """Three slices through the middle: from above, from the front and from the side.

    Args:
        volume: an image or a label map.

    Returns:
        (96, pixels) uint8; None where voxels are no real numbers, or there are none.
    """
    data, affine = volume.data, volume.grid.affine
    if not volume.real or data.size == 0:
        return None
    if np.isfinite(affine).all() and np.linalg.det(affine) != 0:
        data = volume.grid.to_lps.apply(data)
    d, h, w = (side // 2 for side in data.shape)
    slices = [data[:, :, w].T, data[:, h, ::-1].T, data[d, :, ::-1].T]
    black, white = _window(data)
    return np.hstack([_scaled(plane, black, white) for plane in slices])


def _window(data: Num[NDArray, "d h w"]) -> tuple[float, float]:
    some = data[::2, ::2, ::2].ravel()
    seen = some[np.isfinite(some) & (some != 0)]
    low, high = np.percentile(seen, WINDOW).tolist() if seen.size else (0.0, 1.0)
    return (min(low, 0.0), high) if high > min(low, 0.0) else (low - 1, low)


def _scaled(plane: Num[NDArray, "i j"], black: float, white: float) -> UInt8[NDArray, "k l"]:
    shares = (np.nan_to_num(plane.astype(np.float64)) - black) / (white - black)
    grey = Image.fromarray((np.clip(shares, 0, 1) * 255).astype(np.uint8))
    width = max(1, round(HEIGHT_PX * plane.shape[1] / plane.shape[0]))
    return np.asarray(grey.resize((width, HEIGHT_PX)))
