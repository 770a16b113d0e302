from itertools import product

import numpy as np
import pytest

from glioseg.models.inference.probabilities import Findings
from glioseg.models.inference.sliding_window import gaussian, starts, windowed

FORMULAS = {"x + 1": lambda x: x + 1, "2x": lambda x: 2 * x}


def test_steps_are_nnu_net_s():
    # Its published example: size 110, window 64, step 0.5.
    assert starts(110, 64, 0.5) == [0, 23, 46]


@pytest.mark.parametrize(
    ("size", "overlap", "expected"),
    [(8, 0.5, [0]), (9, 0.5, [0, 1]), (16, 0.0, [0, 8]), (16, 0.5, [0, 4, 8]), (17, 0.0, [0, 4, 9])],
)
def test_steps_by_hand(size, overlap, expected):
    # Window 8. 17 without overlap: ⌈9 / 8⌉ = 2 steps of 4.5, and 4.5 rounds to 4.
    assert starts(size, 8, overlap) == expected


def test_no_step_is_longer_than_asked_and_both_ends_are_seen():
    for size, window, overlap in product(range(4, 40), (4, 7), (0.0, 0.25, 0.5, 0.9)):
        if size < window:
            continue
        found = starts(size, window, overlap)
        assert found[0] == 0
        assert found[-1] == size - window
        assert np.diff([*found, found[-1]]).max() <= np.ceil(window * (1 - overlap))


def test_weights_are_a_gaussian_with_an_eighth_of_the_window_as_sigma():
    weights = gaussian((9, 1, 5))
    assert weights.shape == (9, 1, 5)
    assert weights[4, 0, 2] == 1
    # Sigma is 9 / 8 and 5 / 8; two voxels off along the first axis, one along the last.
    assert weights[2, 0, 1] == pytest.approx(np.exp(-0.5 * ((2 * 8 / 9) ** 2 + (8 / 5) ** 2)))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("window", [(4, 4, 4), (8, 6, 4), (16, 16, 16)])
@pytest.mark.parametrize("size", [(13, 11, 9), (8, 8, 8), (3, 20, 5)])
def test_a_formula_comes_back_exactly(formula, overlap, window, size):
    seen = []

    def look(image):
        seen.append(image.shape)
        return Findings(FORMULAS[formula](image), {})

    image = np.random.default_rng(0).normal(size=(*size, 3)).astype(np.float32)
    found = windowed(look, window=window, overlap=overlap)(image)
    np.testing.assert_allclose(found.regions, FORMULAS[formula](image), rtol=1e-5, atol=1e-6)
    assert set(seen) == {(*window, 3)}  # one shape, so that the network is traced once


def test_where_windows_overlap_each_counts_by_its_gaussian():
    def place(image):  # a voxel's answer is its place in the window: it tells which window was asked
        places = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
        return Findings(np.broadcast_to(places, (*image.shape[:3], 3)), {})

    found = windowed(place, window=(4, 1, 1), overlap=0.5)(np.zeros((6, 1, 1, 4), np.float32))
    # Windows start at 0 and 2. Sigma is 4 / 8: a voxel weighs exp(-1 / 2) at half a voxel from the centre
    # and exp(-9 / 2) at one and a half, which is exp(-4) times that. Voxel 2 is the third of the first
    # window and the first of the second; voxel 3 is the fourth and the second.
    near, far = 1, np.exp(-4)
    third = (near * 2 + far * 0) / (near + far)
    fourth = (far * 3 + near * 1) / (near + far)
    for region in range(3):
        assert found.regions[:, 0, 0, region] == pytest.approx([0, 1, third, fourth, 2, 3])


def test_outcomes_are_the_mean_over_windows():
    years = iter([1.0, 2.0, 6.0])
    look = windowed(lambda image: Findings(image, {"survival": next(years)}), window=(4, 4, 4), overlap=0.0)
    # Three windows of 4 fill 12 voxels: (1 + 2 + 6) / 3.
    assert look(np.zeros((12, 4, 4, 3), np.float32)).outcomes == {"survival": 3.0}
