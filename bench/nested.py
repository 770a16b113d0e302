"""The peers' label maps: nested, as nnU-Net wants BraTS. 1 is in WT only, 2 in TC too, 3 in ET too."""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.core.labels import Label

DENSE = np.array([Label.BACKGROUND, Label.ED, Label.NCR, Label.ET], np.uint8)
"""glioseg's label for each nested one."""
NESTED = np.argsort(DENSE).astype(np.uint8)


def to_nested(labels: UInt8[NDArray, "*grid"]) -> UInt8[NDArray, "*grid"]:
    """Glioseg's dense labels as nested ones.

    >>> to_nested(np.array([0, 1, 2, 3], np.uint8)).tolist()
    [0, 2, 1, 3]
    """
    return NESTED[labels]


def from_nested(nested: UInt8[NDArray, "*grid"]) -> UInt8[NDArray, "*grid"]:
    """The inverse of `to_nested`."""
    return DENSE[nested]
