"""Conversions compared with NumPy's for all finite values of half precision."""

import numpy as np

from glioseg.core.float16 import float16_to_float32, float32_to_float16


def test_all_finite_values_convert_as_in_numpy():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    assert finite.size == 2 * (2**15 - 2**10)  # an exponent of all ones is infinity or not a number
    assert float16_to_float32(finite).tobytes() == finite.astype(np.float32).tobytes()


def test_a_view_keeps_its_shape():
    values = np.arange(24, dtype=np.float16).reshape(2, 3, 4)[:, ::-1]
    np.testing.assert_array_equal(float16_to_float32(values), values.astype(np.float32))


def test_a_conversion_and_back_restores_all_values():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)][:, None]
    assert float32_to_float16(float16_to_float32(finite)).tobytes() == finite.tobytes()


def test_ties_go_to_the_even_one_and_all_else_to_the_nearest_as_in_numpy():
    every = np.arange(2**15 - 2**10, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (every[:-1] + every[1:]) / 2
    values = np.random.default_rng(3).normal(0, 3, 10_000).astype(np.float32)
    for given in (middles[:-1], -middles[:-1], values):
        assert float32_to_float16(given[:, None]).tobytes() == given.astype(np.float16).tobytes()
