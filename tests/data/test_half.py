import numpy as np

from glioseg.data.half import widen


def test_every_finite_value_becomes_what_numpy_makes_of_it():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    assert finite.size == 2 * (2**15 - 2**10)  # an exponent of all ones is infinity or not a number
    assert widen(finite).tobytes() == finite.astype(np.float32).tobytes()


def test_a_view_keeps_its_shape():
    values = np.arange(24, dtype=np.float16).reshape(2, 3, 4)[:, ::-1]
    np.testing.assert_array_equal(widen(values), values.astype(np.float32))
