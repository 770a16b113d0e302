"""Rotating pictures of a label map in 3D: smooth surfaces, drawn as shaded points into a depth buffer.

Own and small on purpose: it needs no display, and draws a frame in some ten milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from glioseg.core.geometry import bounding_box
from glioseg.core.labels import REGIONS, Label
from glioseg.evaluation.colours import BACKDROP, COLOURS, INK, font
from glioseg.evaluation.hausdorff import Spacing3
from glioseg.evaluation.overlap import mask_of
from glioseg.evaluation.surfaces import Surface, surface

FRAMES = 24
SIZE_PX = 280
TILT_RAD = np.radians(18)
BRAIN_MM, WT_MM, RIM_MM = 3.0, 2.0, 1.0
"""How coarse each surface is; an enhancing rim is thin."""
LETTERS = {"R": (-1, 0), "L": (1, 0), "A": (0, -1), "P": (0, 1)}
"""Where they stand around the head, in LPS."""
AMBIENT = 0.45
LIGHT = np.array([-0.45, -0.75, 0.5], np.float32)
"""Towards the light, in the camera's axes: right, away, up."""


@dataclass(frozen=True)
class Camera:
    """What all frames share: the point in the middle (mm, LPS) and how much around it is seen."""

    centre_mm: Float32[NDArray, "3"]
    reach_mm: float

    @staticmethod
    def axes(turn_rad: float) -> Float32[NDArray, "3 3"]:
        """Rows: right, away and up of a camera that walked around the head; at 0 it sees the face."""
        c, s, ct, st = np.cos(turn_rad), np.sin(turn_rad), np.cos(TILT_RAD), np.sin(TILT_RAD)
        return np.array([[c, s, 0], [-s * ct, c * ct, -st], [-s * st, c * st, ct]], np.float32)

    def project(
        self, points_mm: Float[NDArray, "n 3"], axes: Float[NDArray, "3 3"]
    ) -> tuple[Float[NDArray, "n"], Float[NDArray, "n"], Float[NDArray, "n"]]:
        """Column and row in pixels, and depth in mm, of each point; there is no perspective."""
        right, away, up = ((points_mm - self.centre_mm) @ axes.T).T
        scale = SIZE_PX / 2 / self.reach_mm
        return SIZE_PX / 2 + right * scale, SIZE_PX / 2 - up * scale, away


def rotating_pictures(
    maps: Sequence[UInt8[NDArray, "d h w"]], brain: Bool[NDArray, "d h w"], *, spacing_mm: Spacing3
) -> list[list[Image.Image]]:
    """Turn label maps of one head once around, all seen alike, first from the front.

    The brain is a faint hull and WT translucent; inside lie the enhancing tumour, through which the
    necrotic core shines, and the solid necrotic core.

    Args:
        maps: dense labels in LPS, e.g. truth and prediction.
        brain: mask on the same grid; where it is empty, the whole grid sets the scale.
        spacing_mm: of the grid.

    Returns:
        For each map its `FRAMES` frames, `SIZE_PX` wide and high.
    """
    box = bounding_box(brain if brain.any() else np.ones_like(brain))
    low, high = np.multiply(box.start, spacing_mm), np.multiply(box.stop, spacing_mm)
    half = (high - low) / 2
    camera = Camera(((low + high) / 2).astype(np.float32), reach_mm=1.25 * float(half.max()))
    hull = surface(brain, spacing_mm, grid_mm=BRAIN_MM, colour=(150, 175, 210), alpha=0.06, rim=0.6)
    scenes = [_tumour(labels, spacing_mm) for labels in maps]
    films: list[list[Image.Image]] = [[] for _ in maps]
    for turn in range(FRAMES):
        axes = camera.axes(2 * np.pi * turn / FRAMES)
        outside = draw(hull, camera, axes)
        for film, scene in zip(films, scenes, strict=True):
            inside = [draw(part, camera, axes) for part in scene]
            film.append(_lettered(blend([outside, *inside]), camera, axes, half))
    return films


def _tumour(labels: UInt8[NDArray, "d h w"], spacing_mm: Spacing3) -> list[Surface]:
    looks = [
        (REGIONS["WT"], Label.ED, 0.16, 0.7, WT_MM),
        (REGIONS["ET"], Label.ET, 0.6, 0.4, RIM_MM),
        ((Label.NCR,), Label.NCR, 1.0, 0.0, RIM_MM),
    ]
    return [
        surface(
            mask_of(labels, members), spacing_mm, colour=COLOURS[label], alpha=alpha, rim=rim, grid_mm=grid_mm
        )
        for members, label, alpha, rim, grid_mm in looks
    ]


def _lettered(
    pixels: UInt8[NDArray, "y x 3"],
    camera: Camera,
    axes: Float32[NDArray, "3 3"],
    half_mm: Float[NDArray, "3"],
) -> Image.Image:
    picture = Image.fromarray(pixels)
    ring = np.array([(x, y, 0) for x, y in LETTERS.values()]) * half_mm * 1.13
    columns, rows, depth = camera.project(ring + camera.centre_mm, axes)
    pen = ImageDraw.Draw(picture)
    for letter, x, y, away in zip(LETTERS, columns, rows, depth, strict=True):
        near = 0.5 - 0.5 * float(away) / camera.reach_mm
        ink = tuple(round(channel * (0.3 + 0.7 * near)) for channel in INK)
        pen.text((float(x), float(y)), letter, ink, font(14), anchor="mm")
    return picture


def draw(part: Surface, camera: Camera, axes: Float32[NDArray, "3 3"]) -> Float32[NDArray, "pixels 5"]:
    """Shade the side of a surface that faces the camera (Lambert 1760).

    Returns:
        For each pixel, row by row: red, green, blue (0 to 255), opacity (0 to 1) and depth in mm;
        opacity 0 and depth infinite where nothing is seen.
    """
    facing = -(part.normals @ axes[1])
    seen = np.flatnonzero(facing > 0)
    columns, rows, depth = camera.project(part.points_mm[seen], axes)
    far_first = np.argsort(-depth)
    seen, places = seen[far_first], np.stack([rows, columns], axis=-1)[far_first].astype(int)
    covered = (places[:, None] + part.splat).clip(0, SIZE_PX - 1).reshape(-1, 2)
    nearest = np.full((SIZE_PX, SIZE_PX), -1)
    # Where a pixel is assigned more than once, the last wins: the nearest point.
    nearest[*covered.T] = np.repeat(np.arange(len(seen)), len(part.splat))
    light = LIGHT / np.linalg.norm(LIGHT) @ axes
    shade = AMBIENT + (1 - AMBIENT) * np.clip(part.normals[seen] @ light, 0, None)
    points = np.empty((len(seen) + 1, 5), np.float32)
    points[-1] = (0, 0, 0, 0, np.inf)
    points[:-1, :3] = shade[:, None] * np.array(part.colour, np.float32)
    points[:-1, 3] = np.clip(part.alpha + part.rim * (1 - facing[seen]) ** 2, 0, 1)
    points[:-1, 4] = depth[far_first]
    pixels: NDArray[np.float32] = points[nearest.ravel()]
    return pixels


def blend(layers: Sequence[Float32[NDArray, "pixels 5"]]) -> UInt8[NDArray, "y x 3"]:
    """Lay layers (as from `draw`) over the backdrop, in each pixel the farthest first."""
    stack: NDArray[np.float32] = np.stack(layers)
    pixels: NDArray[np.float32] = np.full((stack.shape[1], 3), BACKDROP, np.float32)
    shown = np.flatnonzero(stack[..., 3].any(axis=0))
    stack = stack[:, shown]
    for nth in np.argsort(-stack[..., 4], axis=0):
        here = stack[nth, np.arange(len(shown))]
        pixels[shown] += here[:, 3:4] * (here[:, :3] - pixels[shown])
    picture: NDArray[np.uint8] = pixels.astype(np.uint8).reshape(SIZE_PX, SIZE_PX, 3)
    return picture
