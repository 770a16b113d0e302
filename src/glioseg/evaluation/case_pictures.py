"""The pictures of one case on disk: three planes as PNG, truth and prediction in 3D as GIF, ImageJ TIFF."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from glioseg.core.files import write_atomic
from glioseg.core.labels import REGIONS
from glioseg.evaluation.case_figure import Scan, grey_window, planes_picture
from glioseg.evaluation.columns import column
from glioseg.evaluation.overlap import mask_of
from glioseg.evaluation.volume_rendering import rotating_frames

PLANES_FILE, TRUTH_FILE, PREDICTION_FILE, STACK_FILE = "{}.png", "{}_truth.gif", "{}_prediction.gif", "{}.tif"
"""File names of a case's pictures."""


def draw_case(folder: Path, case: str, scan: Scan, row: Mapping[str, float], *, imagej: bool = False) -> None:
    """Draw a case and write its pictures.

    Args:
        folder: folder for the files; created if missing.
        case: name of the case, for the file names.
        scan: the case, with the label maps `truth` and `prediction`.
        row: metrics of the case, as from `metrics.case_metrics`.
        imagej: whether to write `imagej_tiff` too.
    """
    text = "   ".join(
        f"{region} Dice {row[column('dice', region)]:.3f}, HD95 {row[column('hd95_area_mm', region)]:.1f} mm"
        for region in REGIONS
    )
    file = BytesIO()
    planes_picture(scan, title=case, subtitle=text).save(file, "PNG")
    write_atomic(folder / PLANES_FILE.format(case), file.getvalue())
    animations = rotating_frames(list(scan.labels.values()), scan.brain, spacing_mm=scan.spacing_mm)
    for name, frames in zip((TRUTH_FILE, PREDICTION_FILE), animations, strict=True):
        write_atomic(folder / name.format(case), encode_gif(frames))
    if imagej:
        write_atomic(folder / STACK_FILE.format(case), imagej_tiff(scan))


FRAME_MS = 110
COMMON, RARE = 40, 72
"""Numbers of palette colours for large dim areas, and for small bright ones, which would lose their hue."""


def encode_gif(frames: Sequence[Image.Image]) -> bytes:
    """Encode frames of one size as a GIF that loops for ever.

    All frames share one palette, so that colours do not flicker; without dithering, still areas compress
    well.

    Args:
        frames: RGB pictures, at least one.
    """
    palette = _palette(frames[:: max(1, len(frames) // 6)])
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    return file.getvalue()


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    width, height = frames[0].size
    strip = Image.new("RGB", (width, height * len(frames)))
    for n, frame in enumerate(frames):
        strip.paste(frame, (0, n * height))
    colours: list[int] = []
    for count, method in ((COMMON, Image.Quantize.MEDIANCUT), (RARE, Image.Quantize.MAXCOVERAGE)):
        chosen = strip.quantize(count, method=method, dither=Image.Dither.NONE).getpalette() or []
        colours += chosen[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette


IMAGE = "flair"
CHANNELS = ("FLAIR", *(f"{whose} {region}" for whose in ("truth", "prediction") for region in REGIONS))


def imagej_tiff(scan: Scan) -> bytes:
    """Encode a case as an ImageJ TIFF.

    The axes are Z, channel, Y and X, where X runs to the patient's left, Y to the back and Z to the
    head. FLAIR is windowed to 0..255 as in the figure; a region's voxels are 255. The metadata contain the
    spacing in mm. Deflate compresses about sixty megabytes to a few.

    Args:
        scan: case whose images include `IMAGE`, with the label maps `truth` and `prediction`.
    """
    import tifffile  # loaded only for this optional file

    image = scan.images[IMAGE]
    grey = grey_window(image, image[scan.brain])
    stack = np.stack([grey, *_masks(scan.labels["truth"]), *_masks(scan.labels["prediction"])])
    x_mm, y_mm, z_mm = scan.spacing_mm
    file = BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(stack.transpose(3, 0, 2, 1)),
        imagej=True,
        compression="zlib",
        resolution=(1 / x_mm, 1 / y_mm),
        metadata={
            "axes": "ZCYX",
            "spacing": z_mm,
            "unit": "mm",
            "mode": "grayscale",
            "Info": "channels: " + ", ".join(CHANNELS),
        },
    )
    return file.getvalue()


def _masks(labels: UInt8[NDArray, "d h w"]) -> list[UInt8[NDArray, "d h w"]]:
    return [mask_of(labels, members).astype(np.uint8) * 255 for members in REGIONS.values()]
