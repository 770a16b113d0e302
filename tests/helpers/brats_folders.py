"""Folders of BraTS cases in the naming of each year, for tests."""

from pathlib import Path

import numpy as np

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume

GRID = Grid((3, 4, 5), np.diag([-1.0, -1, 1, 1]))
UNTIL_2021 = {role: f"_{role}" for role in (*MODALITIES, "seg")}
SINCE_2023 = {"t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "flair": "-t2f", "seg": "-seg"}


def write_case(folder: Path, name: str, endings: dict[str, str], *, labels: tuple[int, ...] = (0, 1, 2, 4)):
    """Write a case with images of 10, 20, 30 and 40 in the brain, and a segmentation of these labels."""
    for role, ending in endings.items():
        value = 10 * (1 + MODALITIES.index(role)) if role in MODALITIES else 0
        data = np.full(GRID.shape, value, np.int16)
        data[-1] = 0  # background
        if role == "seg":
            data.flat[: len(labels)] = labels
        write_volume(folder / name / f"{name}{ending}.nii.gz", Volume(data, GRID))
