"""Comparison of a brain's outline with the MNI152 template, for scans whose orientation is not stated.

The outline tells head from foot and front from back. It cannot tell left from right: the template (Fonov et
al. 2011, symmetric) is its own mirror image. Its outline is a file of this package, since a served model
must not need nilearn, which ships the template; a test compares the two.
"""

from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import fft, ndimage

from glioseg.core.geometry import Spacing3, downsample
from glioseg.core.nifti import ORIENTATION

COARSE_MM = 4
"""Spacing at which a mask and the template are compared."""
EDGE_VOX = 56
"""Edge of the cube that holds a brain of any size: 224 mm."""
REACH_VOX = 2
"""Largest shift along each axis between the centres of the brain and of the template."""
TEMPLATE_OUTLINE = Path(__file__).with_name("mni152_outline.npy")
"""The brain mask of the template in LPS at `COARSE_MM`, centred in the cube, as packed bits."""
MIN_BRAIN_MM = 60
"""Shortest edge of the box of a whole brain."""
MIN_CORRELATION = 0.6
"""A brain that correlates less in every orientation is incomplete, or not stripped of its skull."""
MIN_MARGIN = 0.02
"""Least difference in correlation for one orientation to fit better than another."""

OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
Cube = Float32[NDArray, "n n n"]


def check_orientation(brain: Bool[NDArray, "d h w"], spacing_mm: Spacing3, orientation: str) -> str:
    """What the outline of a brain says about the orientation that its scan was read with, as text.

    Args:
        brain: mask of the brain, in LPS if the scan was read correctly.
        spacing_mm: spacing of the mask.
        orientation: directions of the file's axes as they were read, e.g. "LAS".
    """
    best = fitting_orientation(brain, spacing_mm)
    if best is None:
        return "the outline of the brain does not show another one"
    if best == ORIENTATION:
        return "the outline of the brain agrees in head, foot, front and back, not checked: left and right"
    true = dict(zip(ORIENTATION, best, strict=True))
    true |= {OPPOSITE[read]: OPPOSITE[found] for read, found in true.items()}
    fitting = "".join(true[read] for read in orientation)
    mirrored = fitting.translate(str.maketrans("LR", "RL"))
    return f"but the outline of the brain fits {fitting} or {mirrored}"


def fitting_orientation(brain: Bool[NDArray, "d h w"], spacing_mm: Spacing3) -> str | None:
    """The directions of a mask's axes in which it fits the template best; None if it fits none clearly.

    Of the two orientations that differ in left and right alone, and so fit equally, it is the one that is no
    mirror image of LPS.

    Args:
        brain: mask of a brain.
        spacing_mm: spacing of the mask.
    """
    d, h, w = (max(1, round(COARSE_MM / mm)) for mm in spacing_mm)
    blocks = downsample(brain[..., np.newaxis].astype(np.float32), (d, h, w))[..., 0]
    scale = [mm * factor / COARSE_MM for mm, factor in zip(spacing_mm, (d, h, w), strict=True)]
    coarse = ndimage.zoom(blocks, scale, order=1) > 0.5
    sides = [int(np.ptp(side)) * COARSE_MM for side in np.nonzero(coarse)] if coarse.any() else [0]
    if min(sides) < MIN_BRAIN_MM:
        return None
    cube, template = _centred(coarse), _template()
    fits = {}
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=2):
            turned = np.transpose(cube, axes)[:, :: signs[0], :: signs[1]]
            fits[axes, signs] = _correlation(turned, template)
    (_, second), ((axes, signs), first) = sorted(fits.items(), key=lambda fit: fit[1])[-2:]
    if first < MIN_CORRELATION or first - second < MIN_MARGIN:
        return None
    return _directions(axes, signs)


def _directions(axes: tuple[int, ...], signs: tuple[int, ...]) -> str:
    """The directions of the axes of an array that is in LPS after this permutation and these flips."""
    parity = round(float(np.linalg.det(np.eye(3)[list(axes)]))) * signs[0] * signs[1]
    found = {}
    for letter, axis, sign in zip(ORIENTATION, axes, (parity, *signs), strict=True):
        found[axis] = letter if sign > 0 else OPPOSITE[letter]
    return "".join(found[axis] for axis in range(3))


def _centred(mask: Bool[NDArray, "d h w"]) -> Cube:
    """The mask with the middle of its bounding box in the middle of a cube."""
    cube = np.zeros((EDGE_VOX,) * 3, np.float32)
    at = np.argwhere(mask)
    middle = (at.min(axis=0) + at.max(axis=0) + 1) // 2
    moved = at - middle + EDGE_VOX // 2
    moved = moved[((moved >= 0) & (moved < EDGE_VOX)).all(axis=1)]
    cube[tuple(moved.T)] = 1
    return cube


def _correlation(one: Cube, other: Cube) -> float:
    """Highest correlation of two cubes over all small shifts."""
    one, other = one - one.mean(), other - other.mean()
    products = fft.irfftn(fft.rfftn(one) * np.conj(fft.rfftn(other)), one.shape)
    near = np.r_[-REACH_VOX : REACH_VOX + 1]
    size = np.sqrt(float(np.square(one).sum()) * float(np.square(other).sum()))
    return float(products[np.ix_(near, near, near)].max()) / size if size else 0.0


@cache
def _template() -> Cube:
    """The brain mask of the template in LPS."""
    bits = np.unpackbits(np.load(TEMPLATE_OUTLINE))
    return bits.reshape((EDGE_VOX,) * 3).astype(np.float32)
