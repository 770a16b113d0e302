from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.cropping import crop_brain, crop_images, crop_labels, uncrop, zscore
from glioseg.data.store.grids import GridError

SHAPES = st.tuples(*[st.integers(2, 7)] * 3)
ORIENTATIONS = st.tuples(
    st.sampled_from(list(permutations(range(3)))), st.sampled_from(list(product([-1, 1], repeat=3)))
)


def grid_of(shape, orientation):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (row, sign) in enumerate(zip(*orientation, strict=True)):
        affine[row, axis] = sign
    return Grid(shape, affine)


@given(
    SHAPES.flatmap(lambda s: arrays(np.int16, s, elements=st.integers(0, 3))).filter(np.any),
    ORIENTATIONS,
    st.integers(0, 2),
)
def test_uncrop_undoes_crop_on_any_grid(scan, orientation, margin_vox):
    grid = grid_of(scan.shape, orientation)
    images = {name: Volume(scan, grid) for name in MODALITIES}
    _, placement = crop_images(images, margin_vox=margin_vox)
    labels = scan.astype(np.uint8)
    restored = uncrop(crop_labels(labels, placement), placement)
    assert restored.shape == scan.shape
    np.testing.assert_array_equal(restored, labels)


@given(SHAPES.flatmap(lambda s: arrays(np.int16, s, elements=st.integers(0, 999))).filter(np.any))
def test_normalised_inside_and_zero_outside(scan):
    grid = grid_of(scan.shape, ((0, 1, 2), (-1, -1, 1)))
    image, placement = crop_images({name: Volume(scan, grid) for name in MODALITIES}, margin_vox=0)
    brain = scan[placement.box.slices] != 0
    for channel in np.moveaxis(image, -1, 0):
        assert not channel[~brain].any()
        assert channel[brain].mean() == pytest.approx(0, abs=1e-5)
        expected_std = 1 if np.ptp(scan[scan != 0]) else 0
        assert channel[brain].std() == pytest.approx(expected_std, abs=1e-4)


def test_zscore_by_hand():
    image = np.array([0, 2, 4], np.int16).reshape(3, 1, 1)
    np.testing.assert_allclose(zscore(image, (image != 0).astype(np.float32)).ravel(), [0, -1, 1])


def test_the_box_is_that_of_all_four_images():
    grid = grid_of((6, 6, 6), ((0, 1, 2), (-1, -1, 1)))
    images = {}
    for index, name in enumerate(MODALITIES):
        data = np.zeros((6, 6, 6), np.int16)
        data[index, index, index] = 1
        images[name] = Volume(data, grid)
    _, placement = crop_images(images, margin_vox=0)
    assert (placement.box.start, placement.box.stop) == ((0, 0, 0), (4, 4, 4))


def test_a_missing_modality_is_0_and_leaves_the_others_as_they_are():
    grid = grid_of((5, 5, 5), ((0, 1, 2), (-1, -1, 1)))
    scan = np.zeros((5, 5, 5), np.int16)
    scan[1:4, 1:4, 1:4] = np.arange(27).reshape(3, 3, 3) + 1
    volume = Volume(scan, grid)
    whole, _ = crop_images(dict.fromkeys(MODALITIES, volume), margin_vox=0)
    some, placement = crop_images({"t1ce": volume, "flair": volume}, margin_vox=0)
    np.testing.assert_array_equal(some[..., [1, 3]], whole[..., [1, 3]])
    assert not some[..., [0, 2]].any()
    assert placement.box.shape == (3, 3, 3)


def test_the_box_and_the_brain_are_those_of_the_images_that_are_there():
    grid = grid_of((6, 6, 6), ((0, 1, 2), (1, -1, 1)))
    images = {}
    for index, name in ((1, "t2"), (4, "t1")):
        data = np.zeros((6, 6, 6), np.int16)
        data[index, 2, 2] = 5
        images[name] = Volume(data, grid)
    _, placement = crop_images(images, margin_vox=0)
    brain = crop_brain(images, placement)
    # LPS turns the first axis round: voxels 4 and 1 become 1 and 4 of 6, the ends of a box of 4.
    assert brain.ravel().tolist() == [True, False, False, True]
    np.testing.assert_array_equal(
        uncrop(brain.astype(np.uint8), placement) > 0, (images["t1"].data + images["t2"].data) > 0
    )


@pytest.mark.parametrize("given_names", [(), ("seg",)])
def test_no_modality_is_one_clear_error(given_names):
    volume = Volume(np.ones((2, 2, 2), np.int16), grid_of((2, 2, 2), ((0, 1, 2), (1, 1, 1))))
    with pytest.raises(GridError, match=r"^no modality: expected at least one of t1, t1ce, t2, flair$"):
        crop_images(dict.fromkeys(given_names, volume), margin_vox=1)


def test_another_place_is_refused_by_name_and_float32_s_rounding_is_not():
    grid = grid_of((2, 2, 2), ((0, 1, 2), (1, 1, 1)))
    images = {name: Volume(np.ones((2, 2, 2), np.int16), grid) for name in MODALITIES}
    for shift, refused in ((1e-4, False), (3.0, True)):
        affine = grid.affine.copy()
        affine[1, 3] += shift
        images["flair"] = Volume(images["t1"].data, Grid(grid.shape, affine))
        if refused:
            expected = (
                "^flair: affine: expected that of the case's first image to 0.001, got a difference of 3$"
            )
            with pytest.raises(GridError, match=expected):
                crop_images(images, margin_vox=1)
        else:
            crop_images(images, margin_vox=1)


def test_other_shapes_are_refused_by_name():
    grid = grid_of((2, 2, 2), ((0, 1, 2), (1, 1, 1)))
    images = {name: Volume(np.ones((2, 2, 2), np.int16), grid) for name in MODALITIES}
    images["t2"] = Volume(np.ones((2, 2, 3), np.int16), grid_of((2, 2, 3), ((0, 1, 2), (1, 1, 1))))
    with pytest.raises(GridError, match=r"t2: expected shape \(2, 2, 2\), got \(2, 2, 3\)"):
        crop_images(images, margin_vox=1)
