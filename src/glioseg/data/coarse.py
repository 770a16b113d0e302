"""A crop at each resolution, as training sees it: n mm stands for blocks of n³ voxels of 1 mm."""

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from numpy.typing import NDArray

from glioseg.geometry import downsample
from glioseg.labels import labels_from_regions, regions_from_labels


def coarse_image(image: Float32[NDArray, "d h w c"], factor: int) -> Float16[NDArray, "e i x c"]:
    """Average blocks of factor³ voxels, in the store's dtype."""
    return (downsample(image, factor) if factor > 1 else image).astype(np.float16)


def coarse_labels(label: UInt8[NDArray, "d h w"], factor: int) -> UInt8[NDArray, "e i x"]:
    """Give each block of factor³ voxels the regions that at least half of its voxels have."""
    if factor == 1:
        return label
    return labels_from_regions(downsample(regions_from_labels(label).astype(np.float32), factor))
