"""Rotating 3D views of a label map: smooth surfaces, drawn as shaded points into a depth buffer.

This small renderer needs no display, and draws a frame in about ten milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.measure import marching_cubes

from glioseg.core.geometry import Spacing3, bounding_box
from glioseg.core.labels import REGIONS, Label
from glioseg.evaluation.case_figure import BACKDROP, COLOURS, INK, RGB, font
from glioseg.evaluation.overlap import mask_of

FRAMES = 24
SIZE_PX = 280
TILT_RAD = np.radians(18)
BRAIN_MM, WT_MM, RIM_MM = 3.0, 2.0, 1.0
"""Grid spacing of each surface; that of the thin enhancing rim is finer."""
LETTERS = {"R": (-1, 0), "L": (1, 0), "A": (0, -1), "P": (0, 1)}
"""Directions of the letters around the head, in LPS."""
AMBIENT = 0.45
LIGHT = np.array([-0.45, -0.75, 0.5], np.float32)
"""Direction of the light, in the camera's axes: right, away, up."""
SMOOTH_VOX = 0.8
"""Standard deviation of the Gaussian that smooths a mask, in voxels of the surface's grid."""
LEVEL = 0.5


@dataclass(frozen=True)
class Surface:
    """Points (N, 3) in mm with outward unit normals (N, 3), and their appearance.

    `alpha`: opacity face on; `rim`: opacity added where the surface turns away; `splat`: the pixels (row,
    column) that a point covers, relative to its own.
    """

    points_mm: Float32[NDArray, "n 3"]
    normals: Float32[NDArray, "n 3"]
    colour: RGB
    alpha: float
    rim: float
    splat: Int64[NDArray, "k 2"]


def extract_surface(
    mask: Bool[NDArray, "d h w"],
    spacing_mm: Spacing3,
    *,
    colour: RGB,
    alpha: float,
    rim: float,
    grid_mm: float,
) -> Surface:
    """The surface of a smoothed mask, by marching cubes (Lewiner et al. 2003).

    A mask that smoothing would erase is not smoothed, so that a lesion of one voxel stays visible.

    Args:
        mask: voxels; may be empty.
        spacing_mm: distance of neighbouring voxels along each axis.
        colour: colour of the surface.
        alpha: see `Surface`.
        rim: see `Surface`.
        grid_mm: spacing of the surface's grid, at least the spacing of the mask.
    """
    reach = range(-1, 2) if grid_mm > 1 else range(2)
    splat = np.array(list(product(reach, repeat=2)), np.int64)
    if not mask.any():
        nothing = np.zeros((0, 3), np.float32)
        return Surface(nothing, nothing, colour, alpha, rim, splat)
    steps = np.maximum(1, np.round(np.divide(grid_mm, spacing_mm))).astype(int)
    box = bounding_box(mask)
    solid = np.pad(mask[box.slices].astype(np.float32), [(3 * n, 3 * n) for n in steps])
    smooth = ndimage.gaussian_filter(solid, SMOOTH_VOX * steps)
    field = (smooth if smooth.max() > LEVEL else solid)[tuple(slice(None, None, n) for n in steps)]
    size_mm = np.multiply(steps, spacing_mm)
    vertices, faces, normals, _ = marching_cubes(field, LEVEL, spacing=tuple(size_mm))
    # Face centres between the vertices close the gaps of a surface that is seen at an angle.
    points = np.concatenate([vertices, vertices[faces].mean(axis=1)])
    normals = np.concatenate([normals, normals[faces].mean(axis=1)])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    origin = (np.array(box.start) - 3 * steps) * spacing_mm
    return Surface(
        (points + origin).astype(np.float32), normals.astype(np.float32), colour, alpha, rim, splat
    )


@dataclass(frozen=True)
class Camera:
    """The view of all frames: the point in the middle (mm, LPS), and the visible distance around it."""

    centre_mm: Float32[NDArray, "3"]
    reach_mm: float

    @staticmethod
    def axes(turn_rad: float) -> Float32[NDArray, "3 3"]:
        """Rows: the directions right, away and up of a camera turned around the head; 0 shows the face."""
        c, s, ct, st = np.cos(turn_rad), np.sin(turn_rad), np.cos(TILT_RAD), np.sin(TILT_RAD)
        return np.array([[c, s, 0], [-s * ct, c * ct, -st], [-s * st, c * st, ct]], np.float32)

    def project(
        self, points_mm: Float[NDArray, "n 3"], axes: Float[NDArray, "3 3"]
    ) -> tuple[Float[NDArray, "n"], Float[NDArray, "n"], Float[NDArray, "n"]]:
        """Column and row in pixels, and depth in mm, of each point, without perspective."""
        right, away, up = ((points_mm - self.centre_mm) @ axes.T).T
        scale = SIZE_PX / 2 / self.reach_mm
        return SIZE_PX / 2 + right * scale, SIZE_PX / 2 - up * scale, away


def rotating_frames(
    maps: Sequence[UInt8[NDArray, "d h w"]], brain: Bool[NDArray, "d h w"], *, spacing_mm: Spacing3
) -> list[list[Image.Image]]:
    """Frames of one full turn around label maps of one head, all from the same views, first from the front.

    The brain is a faint hull, WT is translucent, the enhancing tumour inside is less so, and the necrotic
    core is solid.

    Args:
        maps: dense labels in LPS, e.g. truth and prediction.
        brain: mask on the same grid; if it is empty, the whole grid sets the scale.
        spacing_mm: spacing of the grid.

    Returns:
        `FRAMES` frames for each map, `SIZE_PX` wide and high.
    """
    box = bounding_box(brain if brain.any() else np.ones_like(brain))
    low, high = np.multiply(box.start, spacing_mm), np.multiply(box.stop, spacing_mm)
    half = (high - low) / 2
    camera = Camera(((low + high) / 2).astype(np.float32), reach_mm=1.25 * float(half.max()))
    hull = extract_surface(brain, spacing_mm, grid_mm=BRAIN_MM, colour=(150, 175, 210), alpha=0.06, rim=0.6)
    scenes = [_tumour(labels, spacing_mm) for labels in maps]
    animations: list[list[Image.Image]] = [[] for _ in maps]
    for turn in range(FRAMES):
        axes = camera.axes(2 * np.pi * turn / FRAMES)
        outside = draw(hull, camera, axes)
        for frames, scene in zip(animations, scenes, strict=True):
            inside = [draw(part, camera, axes) for part in scene]
            frames.append(_lettered(blend([outside, *inside]), camera, axes, half))
    return animations


def _tumour(labels: UInt8[NDArray, "d h w"], spacing_mm: Spacing3) -> list[Surface]:
    appearances = [
        (REGIONS["WT"], Label.ED, 0.16, 0.7, WT_MM),
        (REGIONS["ET"], Label.ET, 0.6, 0.4, RIM_MM),
        ((Label.NCR,), Label.NCR, 1.0, 0.0, RIM_MM),
    ]
    return [
        extract_surface(
            mask_of(labels, members), spacing_mm, colour=COLOURS[label], alpha=alpha, rim=rim, grid_mm=grid_mm
        )
        for members, label, alpha, rim, grid_mm in appearances
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
    """Draw the side of a surface that faces the camera, with Lambert shading (1760).

    Returns:
        For each pixel, row by row: red, green, blue (0 to 255), opacity (0 to 1) and depth in mm;
        opacity 0 and infinite depth where the surface is not visible.
    """
    facing = -(part.normals @ axes[1])
    seen = np.flatnonzero(facing > 0)
    columns, rows, depth = camera.project(part.points_mm[seen], axes)
    far_first = np.argsort(-depth)
    seen, places = seen[far_first], np.stack([rows, columns], axis=-1)[far_first].astype(int)
    covered = (places[:, None] + part.splat).clip(0, SIZE_PX - 1).reshape(-1, 2)
    nearest = np.full((SIZE_PX, SIZE_PX), -1)
    # If a pixel is assigned more than once, the last assignment wins: that of the nearest point.
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
    """Blend layers (as from `draw`) over the backdrop, the farthest first in each pixel."""
    stack: NDArray[np.float32] = np.stack(layers)
    pixels: NDArray[np.float32] = np.full((stack.shape[1], 3), BACKDROP, np.float32)
    shown = np.flatnonzero(stack[..., 3].any(axis=0))
    stack = stack[:, shown]
    for nth in np.argsort(-stack[..., 4], axis=0):
        here = stack[nth, np.arange(len(shown))]
        pixels[shown] += here[:, 3:4] * (here[:, :3] - pixels[shown])
    picture: NDArray[np.uint8] = pixels.astype(np.uint8).reshape(SIZE_PX, SIZE_PX, 3)
    return picture
