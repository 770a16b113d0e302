import numpy as np
import pytest

from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality.data_docs import HEIGHT_PX, thumbnail

LPS, RAS = np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1, 1])


def test_three_slices_side_by_side() -> None:
    # (D, H, W) = (4, 8, 2): from above 4 wide and 8 high, from the front 4 by 2, from the side 8 by 2.
    picture = thumbnail(Volume(np.ones((4, 8, 2)), Grid((4, 8, 2), LPS)))
    assert picture is not None
    assert picture.shape == (HEIGHT_PX, HEIGHT_PX // 2 + 2 * HEIGHT_PX + 4 * HEIGHT_PX)


def test_the_head_is_up_and_background_is_black() -> None:
    data = np.zeros((8, 8, 8), np.int16)
    data[:, :, 6] = 100  # near the top
    picture = thumbnail(Volume(data, Grid(data.shape, LPS)))
    assert picture is not None
    front = picture[:, HEIGHT_PX : 2 * HEIGHT_PX]
    assert front[HEIGHT_PX // 8 + 6].min() > 200  # the second of eight rows
    assert front[HEIGHT_PX // 2 :].max() == 0


def test_every_orientation_gives_the_same_picture() -> None:
    data = np.random.default_rng(0).integers(0, 100, (9, 9, 9))
    one = thumbnail(Volume(data, Grid(data.shape, LPS)))
    other = thumbnail(Volume(np.ascontiguousarray(data[::-1, ::-1]), Grid(data.shape, RAS)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fill", [0, 5, np.nan, np.inf])
def test_unusual_values_can_be_drawn(fill: float) -> None:
    data = np.full((6, 6, 6), fill, np.float32)
    assert thumbnail(Volume(data, Grid(data.shape, LPS))) is not None


@pytest.mark.parametrize("data", [np.zeros((4, 4, 4), np.complex64), np.zeros((0, 4, 4))])
def test_volumes_without_real_numbers_are_not_drawn(data: np.ndarray) -> None:
    assert thumbnail(Volume(data, Grid(data.shape, LPS))) is None
