"""What may be odd about one image: its range, its peak, its detail, and a coarse picture of it.

All of it is cheap, since a sample of the voxels tells as much as all of them. `glioseg.data.quality.cohort_outliers`
compares what is measured here over a cohort.
"""

import base64
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Num
from numpy.typing import NDArray

from glioseg.core.geometry import Reorientation

SAMPLED_VOX = 100_000
"""Brain voxels from which percentiles are taken."""

DARK, BRIGHT = 0.5, 99.5
"""The percentiles between which nearly all brightness of a brain lies."""

LINES = 8
"""Every eighth line of voxels is looked at for detail."""

SPARSE = 3
"""The box of the brain and the coarse picture come from every third voxel along each axis."""

BLOCKS = 12
"""Blocks of the coarse picture along each axis, each the mean of up to 3 x 3 x 3 voxels."""

HALF = 14
"""A block with fewer voxels of brain among its 27 counts as background."""

STEPS = 24
"""Steps of a fingerprint's values for one standard deviation; int8 then holds five of these."""


def measure_oddities(
    data: Num[NDArray, "d h w"], brain: Num[NDArray, " voxels"], turn: Reorientation
) -> dict[str, Any]:
    """Measure one image whose voxels are finite.

    Args:
        data: the image, on its own grid.
        brain: those of its voxels that are not 0, in any order.
        turn: what brings it to LPS.

    Returns:
        `range`: between the percentiles `DARK` and `BRIGHT` of the brain; `peak`: the brightest voxel
        over the upper percentile; `tail`: that percentile over the median, unless some values are below 0 or
        all are one; `detail`; `fingerprint`. What cannot be measured is None.
    """
    # Turned first, so that the same voxels are looked at however the file lies in memory.
    turned = turn.apply(data)
    box = _brain_box(turned)
    if box is None:
        return {}
    sample = brain[:: -(-brain.size // SAMPLED_VOX)]
    low, middle, high = np.percentile(sample, (DARK, 50, BRIGHT)).tolist()
    fine = tuple(slice(side.start * SPARSE, side.stop * SPARSE) for side in box)
    return {
        "range": high - low if high > low else None,
        "peak": float(brain.max()) / high if high > 0 else None,
        "tail": high / middle if high > low >= 0 and middle > 0 else None,
        "detail": detail(turned[fine]),
        "fingerprint": fingerprint(turned[::SPARSE, ::SPARSE, ::SPARSE][box]),
    }


def _brain_box(data: Num[NDArray, "d h w"]) -> tuple[slice, slice, slice] | None:
    """The box of what is not 0 among every third voxel along each axis, counted in these voxels."""
    seen = data[::SPARSE, ::SPARSE, ::SPARSE] != 0
    marks = [np.flatnonzero(seen.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not all(mark.size for mark in marks):
        return None
    d, h, w = (slice(int(mark[0]), int(mark[-1]) + 1) for mark in marks)
    return d, h, w


def detail(data: Num[NDArray, "d h w"]) -> float | None:
    """How much of an image's variance is between neighbours, along the axis where it is most.

    The mean square of second differences over 6 times the variance: 1 for white noise, near 0 where
    brightness changes slowly; scaling does not change it. Many scans of BraTS have thick slices that
    were interpolated along one axis, so the other axes are what tells.

    Args:
        data: the image in the box of its brain; voxels of 0 do not count.

    >>> noise = np.random.default_rng(0).normal(10, 1, (120, 120, 120))
    >>> round(detail(noise), 1)
    1.0
    """
    shares = [_detail_along(np.moveaxis(data, axis, 0)) for axis in range(3)]
    return max((share for share in shares if share is not None), default=None)


def _scaled(values: Num[NDArray, "d h w"]) -> Float32[NDArray, "d h w"]:
    """From -1 to 1: no square of it is beyond single precision."""
    largest = max(abs(float(values.max())), abs(float(values.min())), 1e-300) if values.size else 1.0
    scaled: NDArray[np.float32] = (values / largest).astype(np.float32)
    return scaled


def _detail_along(data: Num[NDArray, "d h w"]) -> float | None:
    lines = _scaled(data[:, ::LINES, ::LINES])
    brain = lines != 0
    inside = brain[:-2] & brain[1:-1] & brain[2:]
    middle = lines[1:-1][inside]
    variance = float(middle.var(dtype=np.float64)) if middle.size else 0.0
    if variance == 0:
        return None
    bends = (lines[:-2] + lines[2:])[inside] - 2 * middle
    return float(np.square(bends).mean(dtype=np.float64)) / (6 * variance)


def fingerprint(coarse: Num[NDArray, "d h w"]) -> str | None:
    """Write down what is an image's own, so that copies of it are found.

    Means of blocks hardly change with noise, blur, scale or the bytes of a file. All brains are alike in
    them and in their outline, but not in how a block differs from its neighbours: this is what counts, as
    standardised int8 in base64. None where nothing differs.

    Args:
        coarse: the image in LPS, sampled in the box of its brain.
    """
    at = np.ix_(*(np.arange(3 * BLOCKS) * side // (3 * BLOCKS) for side in coarse.shape))
    cells = _scaled(coarse[at]).reshape(BLOCKS, 3, BLOCKS, 3, BLOCKS, 3)
    filled = (cells != 0).sum(axis=(1, 3, 5))
    bends = _bends(cells.sum(axis=(1, 3, 5)) / np.maximum(filled, 1), filled >= HALF)
    spread = float(bends.std())
    if not spread > 0:
        return None
    steps = np.clip(np.round((bends - bends.mean()) / spread * STEPS), -127, 127).astype(np.int8)
    return base64.b64encode(steps.tobytes()).decode()


def _bends(blocks: Float[NDArray, "b b b"], brain: Bool[NDArray, "b b b"]) -> Float[NDArray, " inner"]:
    """By how much each inner block's neighbours exceed it together; background exceeds nothing."""
    inner = (slice(1, -1),) * 3
    total = np.zeros(blocks[inner].shape, blocks.dtype)
    for axis, side in product(range(3), (slice(None, -2), slice(2, None))):
        there = (*inner[:axis], side, *inner[axis + 1 :])
        total += np.where(brain[there], blocks[there] - blocks[inner], 0)
    return np.where(brain[inner], total, 0).ravel()


def read_fingerprint(text: str) -> Float32[NDArray, " inner"]:
    """A fingerprint as a vector of length 1: the product of two is their correlation."""
    steps = np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32)
    vector: NDArray[np.float32] = steps / np.float32(np.linalg.norm(steps))
    return vector
