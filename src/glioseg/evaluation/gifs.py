"""Frames to a small looping GIF."""

from collections.abc import Sequence
from io import BytesIO

from PIL import Image

FRAME_MS = 110
COMMON, RARE = 40, 72
"""Colours of the palette: for large, dim areas, and for small bright ones, which would lose their hue."""


def encode_gif(frames: Sequence[Image.Image]) -> bytes:
    """Encode frames of one size as a GIF that loops for ever.

    All frames share one palette, so that colours do not flicker; without dithering what stands still
    packs well.

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
        found = strip.quantize(count, method=method, dither=Image.Dither.NONE).getpalette() or []
        colours += found[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette
