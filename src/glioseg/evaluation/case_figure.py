"""The figure of one case: images and label maps side by side in three planes, with their colours.

Radiological convention: the patient's right is on the picture's left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Num, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glioseg.core.brain import brain_mask
from glioseg.core.geometry import Box, Spacing3, bounding_box
from glioseg.core.labels import Label
from glioseg.core.modalities import SPELLINGS
from glioseg.core.nifti import Grid

RGB = tuple[int, int, int]

COLOURS: dict[Label, RGB] = {
    Label.ED: (79, 163, 255),
    Label.NCR: (232, 62, 70),
    Label.ET: (255, 212, 38),
}
"""One colour for each label, in the order of painting, from the outer to the inner label. Blue, red and
yellow differ in lightness as well as in hue, for colour-blind readers."""

LEGEND: dict[Label, str] = {
    Label.ED: "oedema (ED)",
    Label.NCR: "necrotic and non-enhancing core (NCR)",
    Label.ET: "enhancing tumour (ET)",
}
REGIONS_LEGEND = "WT: all three; TC: NCR and ET"

SHOWN_MODALITIES = ("flair", "t1ce")
"""FLAIR shows the whole tumour, T1ce its core."""

BACKDROP: RGB = (0, 0, 0)
INK: RGB = (226, 230, 236)
DIM: RGB = (140, 148, 160)


PX_PER_MM = 2.0
MARGIN_VOX = 9
GAP_PX = 8
HEAD_PX = 66
FOOT_PX = 34
MIN_WIDTH_PX = 960
"""Width of the legend."""
FILL = 0.3
SCALE_BAR_MM = 50
WINDOW_PERCENT = (1.0, 99.7)
"""Percentiles of the brain's grey values that become black and white."""


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that Pillow includes; no font need be installed."""
    return ImageFont.load_default(size_px)


@dataclass(frozen=True)
class Plane:
    """A plane through a volume in LPS: the axis that it cuts, and the letters at left, right, top, bottom."""

    name: str
    axis: int
    letters: tuple[str, str, str, str]
    head_up: bool

    def cut(self, volume: Shaped[NDArray, "d h w"], index: int) -> Shaped[NDArray, "rows columns"]:
        """A slice as an image: rows downwards, columns to the right."""
        flat: NDArray = np.take(volume, index, axis=self.axis).T
        return flat[::-1] if self.head_up else flat

    def slice_number(self, index: int, count: int) -> int:
        """The number of a slice, from 1, as on the page of the service: from below, behind or the left."""
        return index + 1 if self.name == "axial" else count - index

    def spacing_mm(self, spacing_mm: Spacing3) -> tuple[float, float]:
        """Distance of neighbouring columns and of neighbouring rows."""
        across, down = (s for axis, s in enumerate(spacing_mm) if axis != self.axis)
        return across, down


PLANES = (
    Plane("axial", 2, ("R", "L", "A", "P"), head_up=False),
    Plane("coronal", 1, ("R", "L", "S", "I"), head_up=True),
    Plane("sagittal", 0, ("A", "P", "S", "I"), head_up=True),
)


@dataclass(frozen=True)
class Scan:
    """A case in LPS: images and label maps (D, H, W) by name, and the spacing along each axis.

    The first label map chooses the slices, e.g. `truth`; the next one only where the first is empty.
    """

    images: Mapping[str, Num[NDArray, "d h w"]]
    labels: Mapping[str, UInt8[NDArray, "d h w"]]
    spacing_mm: Spacing3

    @property
    def brain(self) -> Bool[NDArray, "d h w"]:
        """True where any image is not background."""
        return brain_mask(self.images.values())


def scan_in_lps(
    images: Mapping[str, NDArray], labels: Mapping[str, UInt8[NDArray, "d h w"]], grid: Grid
) -> Scan:
    """The images that show a tumour best, and label maps of one case, in LPS orientation.

    Args:
        images: the case's modalities by name; `SHOWN_MODALITIES` are taken if present, else the first one.
        labels: dense label maps by name.
        grid: of all of them.
    """
    shown = [name for name in SHOWN_MODALITIES if name in images] or list(images)[:1]
    turned = {name: grid.to_lps(images[name]) for name in shown}
    return Scan(turned, {name: grid.to_lps(each) for name, each in labels.items()}, grid.lps_spacing_mm)


def planes_picture(scan: Scan, *, title: str, subtitle: str) -> Image.Image:
    """Draw a row for each plane: the plain images, then each label map over the last image.

    Each plane passes through the largest cross-section of the tumour in the first label map that has one,
    else through the middle of the brain.

    Args:
        scan: the case.
        title: first line, e.g. the case's name.
        subtitle: second line, e.g. its metrics.
    """
    brain = scan.brain
    box = bounding_box(brain, MARGIN_VOX) if brain.any() else bounding_box(np.ones_like(brain))
    rows = [list(_cells(scan, brain, box, plane)) for plane in PLANES]
    width = max(cell.width for row in rows for cell in row)
    columns = len(rows[0])
    height = sum(row[0].height + GAP_PX for row in rows)
    inner_px = columns * (width + GAP_PX) + GAP_PX
    size = (max(inner_px, MIN_WIDTH_PX), HEAD_PX + height + FOOT_PX)
    picture = Image.new("RGB", size, BACKDROP)
    first = GAP_PX + (picture.width - inner_px) // 2
    top = HEAD_PX
    for row in rows:
        for column, cell in enumerate(row):
            left = first + column * (width + GAP_PX) + (width - cell.width) // 2
            picture.paste(cell, (left, top))
        top += row[0].height + GAP_PX
    heads = [SPELLINGS.get(name, name.capitalize()) for name in (*scan.images, *scan.labels)]
    middles = [first + column * (width + GAP_PX) + width // 2 for column in range(columns)]
    _frame(picture, title, subtitle, dict(zip(middles, heads, strict=True)))
    return picture


def largest_section(maps: Iterable[UInt8[NDArray, "d h w"]], box: Box, axis: int) -> int:
    """The slice along an axis with the most tumour, or the middle of the box without tumour."""
    across = tuple(a for a in range(3) if a != axis)
    for labels in maps:
        if labels.any():
            return int((labels > 0).sum(axis=across).argmax())
    return (box.start[axis] + box.stop[axis]) // 2


def _cells(scan: Scan, brain: Bool[NDArray, "d h w"], box: Box, plane: Plane) -> Iterator[Image.Image]:
    index = largest_section(scan.labels.values(), box, plane.axis)
    inside = index - box.start[plane.axis]
    across_mm, down_mm = plane.spacing_mm(scan.spacing_mm)
    count = brain.shape[plane.axis]
    number = plane.slice_number(index, count)

    def cut(volume: Shaped[NDArray, "d h w"]) -> Shaped[NDArray, "rows columns"]:
        inside_index = min(max(inside, 0), box.shape[plane.axis] - 1)
        return plane.cut(volume[box.slices], inside_index)

    shown = cut(brain)
    size = (round(shown.shape[1] * across_mm * PX_PER_MM), round(shown.shape[0] * down_mm * PX_PER_MM))
    for image in scan.images.values():
        grey = grey_window(cut(image), image[brain])
        plain = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
        plain = plain.convert("RGB")
        yield _annotated(plain.copy(), plane, f"{plane.name} {number}/{count}")
    for labels in scan.labels.values():
        yield _annotated(overlay(plain, cut(labels)), plane, "")


def grey_window(image: Num[NDArray, "*part"], inside: Num[NDArray, "voxels"]) -> UInt8[NDArray, "*part"]:
    """Scale an image to 0..255, so that `WINDOW_PERCENT` of the brain's values become black and white.

    Args:
        image: the part to show, of any shape.
        inside: the brain's values in the whole image; may be empty.
    """
    low, high = np.percentile(inside, WINDOW_PERCENT) if inside.size else (0, 1)
    grey: NDArray[np.uint8] = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    return grey


def overlay(picture: Image.Image, labels: UInt8[NDArray, "rows columns"]) -> Image.Image:
    """Overlay labels on a picture, each as a tint with a solid outline, at the picture's resolution."""
    pixels = np.asarray(picture, np.float32).copy()
    for label, colour in COLOURS.items():
        inside = _enlarge(labels == label, picture.size)
        edge = inside & ~_shrink(inside)
        pixels[inside] += FILL * (np.array(colour, np.float32) - pixels[inside])
        pixels[edge] = colour
    return Image.fromarray(pixels.astype(np.uint8))


def _enlarge(mask: Bool[NDArray, "rows columns"], size: tuple[int, int]) -> Bool[NDArray, "y x"]:
    smooth = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(smooth) >= 128


def _shrink(mask: Bool[NDArray, "y x"]) -> Bool[NDArray, "y x"]:
    core = np.pad(mask, 1)
    centre = core.copy()
    for axis in (0, 1):
        centre &= np.roll(core, 1, axis) & np.roll(core, -1, axis)
    return centre[1:-1, 1:-1]


def _annotated(cell: Image.Image, plane: Plane, name: str) -> Image.Image:
    draw = ImageDraw.Draw(cell)
    width, height = cell.size
    left, right, top, bottom = plane.letters
    places = {
        (4, height // 2, "lm"): left,
        (width - 4, height // 2, "rm"): right,
        (width // 2, 2, "ma"): top,
        (width // 2, height - 2, "md"): bottom,
    }
    for (x, y, anchor), letter in places.items():
        draw.text((x, y), letter, INK, font(15), anchor=anchor)
    draw.text((4, 2), name, DIM, font(13), anchor="la")
    return cell


def _frame(picture: Image.Image, title: str, subtitle: str, heads: Mapping[int, str]) -> None:
    """Write the titles, the heads of the columns, each at its middle, and the legend."""
    draw = ImageDraw.Draw(picture)
    draw.text((GAP_PX, 4), title, INK, font(19), anchor="la")
    draw.text((picture.width - GAP_PX, 7), subtitle, INK, font(15), anchor="ra")
    for middle, head in heads.items():
        draw.text((middle, HEAD_PX - 8), head, DIM, font(15), anchor="ms")
    y = picture.height - FOOT_PX // 2 - 2
    x = GAP_PX
    for label in COLOURS:
        draw.rectangle((x, y - 6, x + 12, y + 6), fill=COLOURS[label])
        draw.text((x + 18, y), LEGEND[label], INK, font(14), anchor="lm")
        x += 36 + round(draw.textlength(LEGEND[label], font(14)))
    draw.text((x, y), REGIONS_LEGEND, DIM, font(14), anchor="lm")
    bar = round(SCALE_BAR_MM * PX_PER_MM)
    right = picture.width - GAP_PX - 50
    draw.line((right - bar, y, right, y), INK, 3)
    draw.text((right + 6, y), f"{SCALE_BAR_MM} mm", INK, font(13), anchor="lm")
