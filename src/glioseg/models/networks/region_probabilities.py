"""From a network's channels to the probabilities of the nested regions, and of the four labels."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

if TYPE_CHECKING:
    from glioseg.params.sections import Target

FLOOR = 1e-7
"""Probabilities are kept this far from 0 and 1, so that their odds are finite."""


def region_probabilities(
    channels: Float32[NDArray, "d h w 3"], target: "Target"
) -> Float32[NDArray, "d h w 3"]:
    """Probabilities of WT, TC and ET, whatever the network's channels stand for.

    Each channel of an exclusive network (NCR, ED, ET) answers "this label or background?" on its own,
    and their sum may exceed 1. Its odds o = p / (1 − p) compare the label with background, so the four
    labels together have the probabilities (1, o₁, o₂, o₃) / Σ: a softmax whose logit of background is
    0. A region is the sum of its labels, and the regions are nested.

    Args:
        channels: sigmoid outputs.
        target: "regions" (WT, TC, ET: returned as they are) or "labels" (NCR, ED, ET).

    >>> third = np.full((1, 1, 1, 3), 0.5, np.float32)  # odds 1, 1, 1: each label has 1/4
    >>> region_probabilities(third, "labels").ravel().tolist()
    [0.75, 0.5, 0.25]
    """
    if target == "regions":
        return channels
    p = np.clip(channels, FLOOR, 1 - FLOOR)
    odds = p / (1 - p)
    ncr, ed, et = np.moveaxis(odds / (1 + odds.sum(axis=-1, keepdims=True)), -1, 0)
    return np.stack([ncr + ed + et, ncr + et, et], axis=-1)


def label_probabilities(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid 4"]:
    """Probabilities of background, NCR, ED and ET that nested regions imply.

    A region that is likelier than the one around it is cut to it first.

    >>> label_probabilities(np.array([0.75, 0.5, 0.25], np.float32)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    wt, tc, et = np.moveaxis(np.minimum.accumulate(regions, axis=-1), -1, 0)
    return np.stack([1 - wt, tc - et, wt - tc, et], axis=-1)
