"""A grid seen window by window: where they lie, and how their answers are joined."""

from itertools import product
from math import ceil

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3, pad_to_shape
from glioseg.models.inference.probabilities import Findings, Image, Look, mean_outcomes


def windowed(look: Look, *, window: Shape3, overlap: float) -> Look:
    """Look at every window of a grid, and join the answers as Isensee et al. 2021 do (nnU-Net).

    Windows overlap, and near its edge a network sees less around a voxel: answers are weighted by a
    Gaussian around the window's centre. An axis shorter than the window is zero-padded.

    Args:
        look: sees one window.
        window: its shape in voxels.
        overlap: of neighbouring windows, 0 to below 1.
    """
    weight = gaussian(window)[..., np.newaxis]

    def joined(image: Image) -> Findings:
        padded, box = pad_to_shape(image, window)
        total = np.zeros((*padded.shape[:3], 3), np.float32)
        weights = np.zeros((*padded.shape[:3], 1), np.float32)
        outcomes = []
        axes = (starts(n, w, overlap) for n, w in zip(padded.shape[:3], window, strict=True))
        for corner in product(*axes):
            at = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
            found = look(padded[at])
            total[at] += weight * found.regions
            weights[at] += weight
            outcomes.append(found.outcomes)
        total /= weights
        return Findings(total[box.slices], mean_outcomes(outcomes))

    return joined


def starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows start along an axis: as few as overlap enough, spread evenly from end to end.

    >>> starts(110, 64, 0.5)
    [0, 23, 46]
    """
    last = size - window
    steps = ceil(last / (window * (1 - overlap)))
    return [round(last * i / steps) for i in range(steps + 1)] if steps > 0 else [0]


def gaussian(window: Shape3) -> Float32[NDArray, "d h w"]:
    """Weights of a window's voxels: 1 at its centre, sigma an eighth of its length along each axis."""
    bells = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    d, h, w = np.ix_(*bells)
    weights: NDArray[np.float32] = (d * h * w).astype(np.float32)
    return weights
