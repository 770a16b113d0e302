"""One colour a label, in every picture, and text upon pictures.

Blue, red and yellow stay apart for colour-blind readers too, in lightness as well as in hue.
"""

from functools import cache

from PIL import ImageFont

from glioseg.core.labels import Label

RGB = tuple[int, int, int]

COLOURS: dict[Label, RGB] = {
    Label.ED: (79, 163, 255),
    Label.NCR: (232, 62, 70),
    Label.ET: (255, 212, 38),
}
"""Painted in this order: what lies inside comes last."""

LEGEND: dict[Label, str] = {
    Label.ED: "oedema (ED)",
    Label.NCR: "necrotic and non-enhancing core (NCR)",
    Label.ET: "enhancing tumour (ET)",
}
REGIONS_LEGEND = "WT: all three; TC: NCR and ET"

BACKDROP: RGB = (0, 0, 0)
INK: RGB = (226, 230, 236)
DIM: RGB = (140, 148, 160)


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface: no font needs to be installed."""
    return ImageFont.load_default(size_px)
