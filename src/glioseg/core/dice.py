"""The Dice coefficient of masks, for training, model selection and evaluation alike.

Dice LR: Measures of the Amount of Ecologic Association Between Species. Ecology 1945.
"""

import numpy as np
from jaxtyping import Bool, Float64, Num
from numpy.typing import ArrayLike, NDArray


def dice_from_counts(
    shared_vox: ArrayLike, total_vox: ArrayLike, *, smooth_vox: float = 0.0
) -> Float64[NDArray, "*structures"]:
    """Dice from voxel counts, 2·|T ∩ P| / (|T| + |P|); 1 where both masks are empty.

    Args:
        shared_vox: |T ∩ P|, one count for each structure.
        total_vox: |T| + |P|, of the same shape.
        smooth_vox: added to numerator and denominator, as the 2018 system does.

    >>> dice_from_counts([27, 0, 0], [128, 5, 0]).tolist()
    [0.421875, 0.0, 1.0]
    >>> dice_from_counts(0, 64, smooth_vox=1.0).tolist()
    0.015384615384615385
    """
    numerator: Num[NDArray, "*structures"] = 2 * np.asarray(shared_vox) + smooth_vox
    denominator: Num[NDArray, "*structures"] = np.asarray(total_vox) + smooth_vox
    dice: NDArray[np.float64] = np.ones(denominator.shape)
    np.divide(numerator, denominator, out=dice, where=denominator > 0)
    return dice


def dice_per_channel(
    truth: Bool[NDArray, "*grid channels"], prediction: Bool[NDArray, "*grid channels"]
) -> Float64[NDArray, "channels"]:
    """Dice of each channel of two masks; 1 where a channel is empty in both.

    Args:
        truth: one mask for each channel.
        prediction: masks on the same grid.

    >>> truth = np.array([[1, 0], [1, 0]], bool)
    >>> dice_per_channel(truth, np.array([[1, 0], [0, 0]], bool)).round(3).tolist()
    [0.667, 1.0]
    """
    grid = tuple(range(truth.ndim - 1))
    return dice_from_counts((truth & prediction).sum(grid), truth.sum(grid) + prediction.sum(grid))
