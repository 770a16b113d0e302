"""The brain mask of skull-stripped images: the voxels where any modality is not 0."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray


def brain_mask(images: Iterable[Num[NDArray, "*grid"]]) -> Bool[NDArray, "*grid"]:
    """True where any image is not 0.

    Args:
        images: the modalities of one case, at least one, on one grid.

    >>> brain_mask([np.array([0, 7, 0]), np.array([0, 0, -1])]).tolist()
    [False, True, True]
    """
    first, *others = images
    brain: NDArray[np.bool_] = first != 0
    for image in others:
        brain |= image != 0
    return brain


def brain_mask_of_channels(image: Num[NDArray, "*grid c"]) -> Bool[NDArray, "*grid"]:
    """True where any channel is not 0, for modalities along the last axis.

    >>> brain_mask_of_channels(np.array([[0, 0], [7, 0], [0, -1]])).tolist()
    [False, True, True]
    """
    # One channel after the other is several times faster than `any` over so short an axis.
    return brain_mask(np.moveaxis(image, -1, 0))
