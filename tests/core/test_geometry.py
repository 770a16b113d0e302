import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.core.errors import GliosegError
from glioseg.core.geometry import (
    Box,
    bounding_box,
    downsample,
    pad_to_multiple,
    pad_to_shape,
    paste,
    upsample,
)

SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
MASKS = SHAPES.flatmap(lambda shape: arrays(bool, shape)).filter(np.any)


@given(MASKS, st.integers(0, 3))
def test_bounding_box_contains_all_voxels_and_is_tight(mask, margin_vox):
    box = bounding_box(mask, margin_vox)
    tight = bounding_box(mask)
    np.testing.assert_array_equal(paste(mask[box.slices], box, mask.shape), mask)
    for axis in range(3):
        faces = np.moveaxis(mask[tight.slices], axis, 0)
        assert faces[0].any()
        assert faces[-1].any()
        assert box.start[axis] == max(tight.start[axis] - margin_vox, 0)
        assert box.stop[axis] == min(tight.stop[axis] + margin_vox, mask.shape[axis])


def test_bounding_box_of_an_empty_mask_is_an_error():
    with pytest.raises(GliosegError, match="expected a non-zero voxel"):
        bounding_box(np.zeros((2, 2, 2), bool))


def test_paste_rejects_another_shape():
    with pytest.raises(ValueError, match=r"expected shape \(1, 1, 1\), got \(2, 1, 1\)"):
        paste(np.ones((2, 1, 1)), Box((0, 0, 0), (1, 1, 1)), (3, 3, 3))


@given(SHAPES, st.integers(1, 5))
def test_pad_to_multiple(shape, multiple):
    array = np.ones((*shape, 2), np.float32)
    padded, box = pad_to_multiple(array, multiple)
    assert all(
        n % multiple == 0 and n - size < multiple for n, size in zip(padded.shape, shape, strict=False)
    )
    np.testing.assert_array_equal(padded[box.slices], array)
    assert padded.sum() == array.sum()


def test_pad_to_shape_leaves_longer_axes():
    padded, box = pad_to_shape(np.ones((2, 5, 3)), (4, 4, 4))
    assert padded.shape == (4, 5, 4)
    assert box == Box((1, 0, 0), (3, 5, 3))


def test_downsample_averages_and_pads_the_far_end():
    column = np.array([1, 3, 5], np.float32).reshape(3, 1, 1, 1)
    # Blocks of 2³: one voxel of eight holds 1, one 3; then one holds 5 and the rest is padding.
    np.testing.assert_allclose(downsample(column, 2).ravel(), [4 / 8, 5 / 8])


def test_upsample_of_downsample_keeps_a_ramp():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None, None], (20, 4, 4, 3))
    back = upsample(downsample(ramp, 2), 2, (20, 4, 4))
    np.testing.assert_allclose(back[1:-1], ramp[1:-1])
    assert back.dtype == np.float32
