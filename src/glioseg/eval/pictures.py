"""The pictures of one case on disk: three planes as PNG, truth and prediction in 3D as GIF."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from glioseg.eval.figures import Scan, planes_picture
from glioseg.eval.gifs import encode_gif
from glioseg.eval.metrics import column
from glioseg.eval.render import rotating_pictures
from glioseg.files import write_whole
from glioseg.labels import REGIONS

PLANES, TRUTH, PREDICTION = "{}.png", "{}_truth.gif", "{}_prediction.gif"
"""How a case's pictures are named."""


def draw_case(folder: Path, case: str, scan: Scan, row: Mapping[str, float]) -> None:
    """Draw a case and write its pictures.

    Args:
        folder: where they go; made where it is not there.
        case: its name, which names the files.
        scan: what to draw.
        row: its metrics, as from `metrics.case_metrics`.
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
