"""The input example of a logged model: a tiny synthetic case of one row, which a reader can copy and send.

It shows the form of a request. A brain of a few centimetres is no test of a model, and the data contract
warns of its shape.
"""

import numpy as np
import pandas as pd

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume

SHAPE = (24, 28, 24)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BRAIN_VOX, OEDEMA_VOX, ENHANCING_VOX, NECROSIS_VOX = 11.0, 6.0, 4.0, 2.0
"""Radii of balls around the centre."""
INTENSITIES = {
    "t1": (90, 70, 60, 40),
    "t1ce": (90, 70, 220, 40),
    "t2": (90, 190, 170, 230),
    "flair": (90, 210, 170, 60),
}
"""Mean of brain, oedema, enhancing tumour and necrosis."""


def input_example() -> pd.DataFrame:
    """One row with a NIfTI file for each modality; about 25 kB in total, the same bytes each time."""
    rng = np.random.default_rng(0)
    place = np.stack(np.indices(SHAPE), axis=-1) - (np.array(SHAPE) - 1) / 2
    radius = np.linalg.norm(place, axis=-1)
    balls = [radius < vox for vox in (NECROSIS_VOX, ENHANCING_VOX, OEDEMA_VOX, BRAIN_VOX)]
    row = {}
    for modality in MODALITIES:
        means = np.select(balls, INTENSITIES[modality][::-1], 0)
        image = np.where(means > 0, means + rng.integers(-8, 9, SHAPE), 0).astype(np.uint8)
        row[modality] = encode_volume(Volume(image, Grid(SHAPE, LPS)))
    return pd.DataFrame([row])
