"""Modality dropout: patches that lack modalities make a network that can do without them.

Havaei et al. 2016 (HeMIS) showed that one network can serve every subset of the modalities.
"""

import numpy as np

from glioseg.core.modalities import MODALITIES

Kept = tuple[bool, ...]
"""Which of `MODALITIES` a patch keeps."""

ALL: Kept = (True,) * len(MODALITIES)


def draw_kept(rng: np.random.Generator, *, chance: float) -> Kept:
    """Draw which modalities a patch keeps.

    Args:
        rng: source of the draw.
        chance: that some are dropped; then each non-empty proper subset is as likely as the other.
    """
    drops = rng.random() < chance
    subset = int(rng.integers(1, 2 ** len(MODALITIES) - 1))  # its bits, without none and all of them
    return tuple(bool(subset >> channel & 1) for channel in range(len(MODALITIES))) if drops else ALL
