"""The images of a case together: only those with finite voxels and contrast, on one grid, are compared."""

import numpy as np

from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality.image_comparison import compare_images

GRID_AFFINE = np.diag([-2.0, -2, 2, 1])
USABLE = {"spacing_mm": (2.0, 2.0, 2.0), "nan_vox": 0, "infinite_vox": 0, "brain_deviation": 1.0}


def volume(data: np.ndarray) -> Volume:
    return Volume(data, Grid(data.shape, GRID_AFFINE))


def test_an_image_with_nan_or_of_another_shape_is_not_compared(phantom: dict[str, np.ndarray]) -> None:
    swapped = {"t1": volume(phantom["t2"]), "t2": volume(phantom["t1"])}
    fields = dict.fromkeys(swapped, USABLE)
    assert compare_images(swapped, fields)["t1"]["order"] == "t1 and t2 look swapped"
    assert compare_images(swapped | {"t2": volume(phantom["t1"][1:])}, fields) == {}
    found = compare_images(swapped, fields | {"t2": USABLE | {"nan_vox": 1}})
    assert found["t1"]["order"] == "t1 looks like t2"
