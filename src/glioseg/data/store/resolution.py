"""A crop at each resolution, as training sees it: n mm stands for blocks of n³ voxels of 1 mm."""

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.float16 import narrow
from glioseg.core.geometry import bounding_box, downsample
from glioseg.core.labels import labels_from_regions, regions_from_labels


def coarse_image(image: Float32[NDArray, "d h w c"], factor: int) -> Float16[NDArray, "e i x c"]:
    """Average blocks of factor³ voxels, in the store's dtype."""
    return narrow(downsample(image, factor) if factor > 1 else image)


def coarse_labels(label: UInt8[NDArray, "d h w"], factor: int) -> UInt8[NDArray, "e i x"]:
    """Give each block of factor³ voxels the regions that at least half of its voxels have."""
    if factor == 1:
        return label
    coarse = np.zeros([-(-n // factor) for n in label.shape], np.uint8)
    if not label.any():
        return coarse
    tumour = bounding_box(label != 0)  # most of a crop is none
    start = [a // factor for a in tumour.start]
    blocks = tuple(slice(a * factor, b) for a, b in zip(start, tumour.stop, strict=True))
    shares = downsample(regions_from_labels(label[blocks]).astype(np.float32), factor)
    place = tuple(slice(a, a + n) for a, n in zip(start, shares.shape[:3], strict=True))
    coarse[place] = labels_from_regions(shares)
    return coarse
