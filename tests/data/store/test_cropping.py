from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.cropping import (
    crop_and_normalise,
    crop_brain_mask,
    crop_labels,
    downsample_labels,
    uncrop,
    zscore,
)

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
    _, placement = crop_and_normalise(images, margin_vox=margin_vox)
    labels = scan.astype(np.uint8)
    restored = uncrop(crop_labels(labels, placement), placement)
    assert restored.shape == scan.shape
    np.testing.assert_array_equal(restored, labels)


@given(SHAPES.flatmap(lambda s: arrays(np.int16, s, elements=st.integers(0, 999))).filter(np.any))
def test_an_image_is_normalised_inside_the_brain_and_0_outside(scan):
    grid = grid_of(scan.shape, ((0, 1, 2), (-1, -1, 1)))
    image, placement = crop_and_normalise({name: Volume(scan, grid) for name in MODALITIES}, margin_vox=0)
    brain = scan[placement.box.slices] != 0
    for channel in np.moveaxis(image, -1, 0):
        assert not channel[~brain].any()
        assert channel[brain].mean() == pytest.approx(0, abs=1e-5)
        expected_std = 1 if np.ptp(scan[scan != 0]) else 0
        assert channel[brain].std() == pytest.approx(expected_std, abs=1e-4)


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e25), (np.float64, 1e200)])
def test_zscore_of_intensities_whose_squares_overflow(dtype, factor):
    image = (np.array([0, 1, 3], dtype) * dtype(factor)).reshape(1, 1, 3)
    with np.errstate(over="raise"):
        scaled = zscore(image, (image != 0).astype(np.float32))
    np.testing.assert_allclose(scaled.ravel(), [0, -1, 1], rtol=1e-6)


def test_zscore_by_hand():
    image = np.array([0, 2, 4], np.int16).reshape(3, 1, 1)
    np.testing.assert_allclose(zscore(image, (image != 0).astype(np.float32)).ravel(), [0, -1, 1])


def test_the_box_contains_the_brain_of_all_four_images():
    grid = grid_of((6, 6, 6), ((0, 1, 2), (-1, -1, 1)))
    images = {}
    for index, name in enumerate(MODALITIES):
        data = np.zeros((6, 6, 6), np.int16)
        data[index, index, index] = 1
        images[name] = Volume(data, grid)
    _, placement = crop_and_normalise(images, margin_vox=0)
    assert (placement.box.start, placement.box.stop) == ((0, 0, 0), (4, 4, 4))


def test_a_missing_modality_is_0_and_does_not_change_the_others():
    grid = grid_of((5, 5, 5), ((0, 1, 2), (-1, -1, 1)))
    scan = np.zeros((5, 5, 5), np.int16)
    scan[1:4, 1:4, 1:4] = np.arange(27).reshape(3, 3, 3) + 1
    volume = Volume(scan, grid)
    whole, _ = crop_and_normalise(dict.fromkeys(MODALITIES, volume), margin_vox=0)
    some, placement = crop_and_normalise({"t1ce": volume, "flair": volume}, margin_vox=0)
    np.testing.assert_array_equal(some[..., [1, 3]], whole[..., [1, 3]])
    assert not some[..., [0, 2]].any()
    assert placement.box.shape == (3, 3, 3)


def test_box_and_brain_mask_come_from_the_images_that_are_given():
    grid = grid_of((6, 6, 6), ((0, 1, 2), (1, -1, 1)))
    images = {}
    for index, name in ((1, "t2"), (4, "t1")):
        data = np.zeros((6, 6, 6), np.int16)
        data[index, 2, 2] = 5
        images[name] = Volume(data, grid)
    _, placement = crop_and_normalise(images, margin_vox=0)
    brain = crop_brain_mask(images, placement)
    # LPS reverses the first axis: voxels 4 and 1 of 6 become 1 and 4, the ends of a box of 4.
    assert brain.ravel().tolist() == [True, False, False, True]
    np.testing.assert_array_equal(
        uncrop(brain.astype(np.uint8), placement) > 0, (images["t1"].data + images["t2"].data) > 0
    )


@pytest.mark.parametrize(("tumour_vox", "expected"), [(4, 3), (3, 0)])
def test_a_block_has_the_regions_of_half_of_its_voxels(tumour_vox, expected):
    label = np.zeros(8, np.uint8)
    label[:tumour_vox] = 3
    assert downsample_labels(label.reshape(2, 2, 2), 2).item() == expected
