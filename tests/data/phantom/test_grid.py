import numpy as np
import pytest

from glioseg.data.phantom.grid import apply_along_axis, knot_positions, slicing_matrices, spline_matrix


def test_a_spline_reproduces_a_straight_line():
    line = spline_matrix(20, 4.0) @ knot_positions(20, 4.0)
    np.testing.assert_allclose(line, np.arange(20), atol=1e-5)


def test_thick_slices_average_and_interpolate():
    into, back = slicing_matrices(21, 5.0)
    assert into.shape == (5, 21)
    np.testing.assert_allclose(back @ into @ np.ones(21), 1, atol=1e-6)
    np.testing.assert_allclose(back @ np.arange(5) * 5, np.arange(21), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_matrix_applies_along_one_axis(axis):
    rng = np.random.default_rng(4)
    array, matrix = (rng.normal(size=s).astype(np.float32) for s in ((4, 4, 4), (3, 4)))
    expected = np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
    np.testing.assert_allclose(apply_along_axis(array, matrix, axis), expected, rtol=1e-5, atol=1e-6)
