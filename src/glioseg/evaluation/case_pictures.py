"""The pictures of one case on disk: three planes as PNG, truth and prediction in 3D as GIF, ImageJ TIFF."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from glioseg.core.files import write_whole
from glioseg.core.labels import REGIONS
from glioseg.evaluation.case_figure import Scan, planes_picture
from glioseg.evaluation.columns import column
from glioseg.evaluation.gifs import encode_gif
from glioseg.evaluation.volume_rendering import rotating_pictures

PLANES, TRUTH, PREDICTION, STACK = "{}.png", "{}_truth.gif", "{}_prediction.gif", "{}.tif"
"""How a case's pictures are named."""


def draw_case(folder: Path, case: str, scan: Scan, row: Mapping[str, float], *, imagej: bool = False) -> None:
    """Draw a case and write its pictures.

    Args:
        folder: where they go; made where it is not there.
        case: its name, which names the files.
        scan: what to draw.
        row: its metrics, as from `metrics.case_metrics`.
        imagej: whether to write `imagej.imagej_tiff` too.
    """
    text = "   ".join(
        f"{region} Dice {row[column('dice', region)]:.3f}, HD95 {row[column('hd95_mm', region)]:.1f} mm"
        for region in REGIONS
    )
    file = BytesIO()
    planes_picture(scan, title=case, subtitle=text).save(file, "PNG")
    write_whole(folder / PLANES.format(case), file.getvalue())
    films = rotating_pictures([scan.truth, scan.prediction], scan.brain, spacing_mm=scan.spacing_mm)
    for name, frames in zip((TRUTH, PREDICTION), films, strict=True):
        write_whole(folder / name.format(case), encode_gif(frames))
    if imagej:
        from glioseg.evaluation.imagej import imagej_tiff  # tifffile loads only where it is asked for

        write_whole(folder / STACK.format(case), imagej_tiff(scan))
