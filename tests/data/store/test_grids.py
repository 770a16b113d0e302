import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.grids import GridError, common_grid, on_first_grid

AFFINE = np.diag([-1.0, -1, 1, 1])
TOLERANCE = 1e-3


def volume(shape=(2, 2, 2), shift_mm=0.0):
    affine = AFFINE.copy()
    affine[1, 3] += shift_mm
    return Volume(np.ones(shape, np.int16), Grid(shape, affine))


@pytest.mark.parametrize("given_names", [(), ("seg",)])
def test_no_modality_is_one_clear_error(given_names):
    with pytest.raises(GridError, match=r"^no modality: expected at least one of t1, t1ce, t2, flair$"):
        common_grid(dict.fromkeys(given_names, volume()), tolerance=TOLERANCE)


def test_an_affine_within_the_tolerance_is_accepted():
    volumes = {name: volume() for name in MODALITIES} | {"flair": volume(shift_mm=1e-4)}
    np.testing.assert_array_equal(common_grid(volumes, tolerance=TOLERANCE).affine, AFFINE)


@pytest.mark.parametrize(("shift_mm", "difference"), [(3.0, "3"), (np.nan, "nan")])
def test_an_affine_beyond_the_tolerance_is_rejected_by_name(shift_mm, difference):
    volumes = {name: volume() for name in MODALITIES} | {"flair": volume(shift_mm=shift_mm)}
    expected = "^flair: affine: expected that of the case's first image to 0.001, got a difference of "
    with pytest.raises(GridError, match=expected + difference + "$"):
        common_grid(volumes, tolerance=TOLERANCE)


def test_another_shape_is_rejected_by_name():
    volumes = {name: volume() for name in MODALITIES} | {"t2": volume((2, 2, 3))}
    with pytest.raises(GridError, match=r"t2: expected shape \(2, 2, 2\), got \(2, 2, 3\)"):
        common_grid(volumes, tolerance=TOLERANCE)


def test_images_on_the_first_grid_keep_their_voxels():
    images = {"t1": volume(), "t2": volume(shift_mm=1e-4)}
    placed = on_first_grid(images)
    assert all(image.grid is images["t1"].grid for image in placed.values())
    assert placed["t2"].data is images["t2"].data
