from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from glioseg.core.memory import peak_gb
from glioseg.models.inference.forward import (
    NetworkOutput,
    gaussian_weights,
    run_networks,
    sliding_window,
    window_starts,
)
from tests.helpers.models import Formula, make_settings

IMAGE = np.random.default_rng(0).normal(size=(13, 11, 9, 4)).astype(np.float32)
ENOUGH_FOR_A_WINDOW = peak_gb((8, 8, 8), base_filters=2)
ENOUGH_FOR_ALL = peak_gb((14, 12, 10), base_filters=2)


def squash(batch):
    return 1 / (1 + np.exp(-batch[..., :3]))


@pytest.mark.parametrize(
    ("memory_gb", "shapes"),
    [
        (ENOUGH_FOR_ALL, {(14, 12, 10)}),
        (ENOUGH_FOR_ALL - 1e-9, {(8, 8, 8)}),
        (ENOUGH_FOR_A_WINDOW, {(8, 8, 8)}),
    ],
)
def test_one_pass_where_memory_allows_and_else_windows(memory_gb, shapes):
    network = Formula(squash)
    output = run_networks([network], IMAGE, make_settings(memory_gb=memory_gb))
    assert set(network.shapes) == shapes
    np.testing.assert_allclose(output.regions, squash(IMAGE), rtol=1e-5)


def test_windows_where_validation_chose_them():
    network = Formula(squash)
    run_networks([network], IMAGE, make_settings(one_pass=False))
    assert set(network.shapes) == {(8, 8, 8)}


def test_a_budget_too_small_for_a_window_is_an_error_that_states_the_need():
    settings = make_settings(memory_gb=0.5, window_shape=(96, 96, 8), base_filters=8)
    image = np.zeros((100, 8, 8, 4), np.float32)
    # 1.35 GB, 73728 voxels of 80 + 8 · 28 bytes (0.0224 GB) and 0.0192 GB of weights: 1.3916.
    expected = r"expected at least 1\.4 GB for a window of \[96, 96, 8\] voxels, got 0\.5"
    with pytest.raises(ValueError, match=f"^inference.memory_gb: {expected}$"):
        run_networks([Formula(squash)], image, settings)
    run_networks([Formula(squash)], image, replace(settings, memory_gb=1.4))


def test_mirror_images_are_averaged_and_mirrored_back():
    """The output is the position of a voxel along each axis: mirrored, 0, 1, 2, 3 becomes 3, 2, 1, 0."""

    def place(batch):
        d, h, w = np.indices(batch.shape[1:4])
        return np.stack([d, h, w], axis=-1)[np.newaxis] / 3

    network = Formula(place)
    output = run_networks([network], np.zeros((4, 4, 4, 4), np.float32), make_settings(mirror=True))
    # A position x and its mirror image 1 − x have the mean ½ everywhere.
    np.testing.assert_allclose(output.regions, 0.5)
    assert len(network.shapes) == 8


def test_mirroring_does_not_change_a_symmetric_network():
    without, mirrored = (
        run_networks([Formula(squash)], IMAGE, make_settings(mirror=mirror)).regions
        for mirror in (False, True)
    )
    np.testing.assert_allclose(mirrored, without, rtol=1e-5)


def test_members_are_averaged_and_so_are_their_outcomes():
    members = [
        Formula(lambda x: np.full((*x.shape[:4], 3), 0.25), grade=0.2, survival=1.0),
        Formula(lambda x: np.full((*x.shape[:4], 3), 0.75), grade=0.6),
    ]
    output = run_networks(members, IMAGE, make_settings())
    np.testing.assert_array_equal(output.regions, np.full((*IMAGE.shape[:3], 3), 0.5))
    assert output.outcomes == pytest.approx({"grade": 0.4, "survival": 1.0})


def test_label_networks_give_regions_too():
    labels = Formula(lambda x: np.broadcast_to([0.5, 0.75, 0.0], (*x.shape[:4], 3)))
    output = run_networks([labels], IMAGE, make_settings(target="labels"))
    # Odds 1 (NCR), 3 (ED), 0 (ET) and 1 for background: 1/5, 3/5, 0, 1/5.
    np.testing.assert_allclose(
        output.regions, np.broadcast_to([0.8, 0.2, 0.0], output.regions.shape), atol=1e-6
    )


def test_a_network_is_compiled_once_for_all_shapes():
    """Two graphs of one network differ in the last bits, so the first scan would change the predictions."""
    import keras

    image = keras.Input((None, None, None, 4))
    probabilities = keras.layers.Conv3D(3, 3, padding="same", activation="sigmoid")(image)
    network = keras.Model(image, {"segmentation": probabilities})
    run_networks([network], IMAGE, make_settings())
    graphs = network.predict_function.experimental_get_tracing_count()
    for shape in ((16, 12, 10, 4), (4, 6, 8, 4)):
        run_networks([network], np.zeros(shape, np.float32), make_settings())
    assert network.predict_function.experimental_get_tracing_count() == graphs


FORMULAS = {"x + 1": lambda x: x + 1, "2x": lambda x: 2 * x}


def test_steps_are_nnu_net_s():
    # nnU-Net's published example: size 110, window 64, step 0.5.
    assert window_starts(110, 64, 0.5) == [0, 23, 46]


@pytest.mark.parametrize(
    ("size", "overlap", "expected"),
    [(8, 0.5, [0]), (9, 0.5, [0, 1]), (16, 0.0, [0, 8]), (16, 0.5, [0, 4, 8]), (17, 0.0, [0, 4, 9])],
)
def test_steps_by_hand(size, overlap, expected):
    # Window 8. 17 without overlap: ⌈9 / 8⌉ = 2 steps of 4.5, and 4.5 rounds to 4.
    assert window_starts(size, 8, overlap) == expected


def test_no_step_exceeds_the_overlap_and_windows_reach_both_ends():
    for size, window, overlap in product(range(4, 40), (4, 7), (0.0, 0.25, 0.5, 0.9)):
        if size < window:
            continue
        starts = window_starts(size, window, overlap)
        assert starts[0] == 0
        assert starts[-1] == size - window
        assert np.diff([*starts, starts[-1]]).max() <= np.ceil(window * (1 - overlap))


def test_weights_are_a_gaussian_with_an_eighth_of_the_window_as_sigma():
    weights = gaussian_weights((9, 1, 5))
    assert weights.shape == (9, 1, 5)
    assert weights[4, 0, 2] == 1
    # Sigma is 9 / 8 and 5 / 8; two voxels off along the first axis, one along the last.
    assert weights[2, 0, 1] == pytest.approx(np.exp(-0.5 * ((2 * 8 / 9) ** 2 + (8 / 5) ** 2)))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("window", [(4, 4, 4), (8, 6, 4), (16, 16, 16)])
@pytest.mark.parametrize("size", [(13, 11, 9), (8, 8, 8), (3, 20, 5)])
def test_windows_reproduce_a_pointwise_formula(formula, overlap, window, size):
    seen = []

    def forward(image):
        seen.append(image.shape)
        return NetworkOutput(FORMULAS[formula](image), {})

    image = np.random.default_rng(0).normal(size=(*size, 3)).astype(np.float32)
    output = sliding_window(forward, window=window, overlap=overlap)(image)
    np.testing.assert_allclose(output.regions, FORMULAS[formula](image), rtol=1e-5, atol=1e-6)
    assert set(seen) == {(*window, 3)}  # one shape, so that the network is traced once


def test_overlapping_windows_are_weighted_by_their_gaussians():
    def place(image):  # the output is a voxel's position in the window, so it identifies the window
        places = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
        return NetworkOutput(np.broadcast_to(places, (*image.shape[:3], 3)), {})

    output = sliding_window(place, window=(4, 1, 1), overlap=0.5)(np.zeros((6, 1, 1, 4), np.float32))
    # Windows start at 0 and 2. Sigma is 4 / 8: a voxel weighs exp(-1 / 2) at half a voxel from the centre
    # and exp(-9 / 2) at one and a half, which is exp(-4) times that. Voxel 2 is the third of the first
    # window and the first of the second; voxel 3 is the fourth and the second.
    near, far = 1, np.exp(-4)
    third = (near * 2 + far * 0) / (near + far)
    fourth = (far * 3 + near * 1) / (near + far)
    for region in range(3):
        assert output.regions[:, 0, 0, region] == pytest.approx([0, 1, third, fourth, 2, 3])


def test_outcomes_are_the_mean_over_windows():
    years = iter([1.0, 2.0, 6.0])
    forward = sliding_window(
        lambda image: NetworkOutput(image, {"survival": next(years)}), window=(4, 4, 4), overlap=0.0
    )
    # Three windows of 4 fill 12 voxels: (1 + 2 + 6) / 3.
    assert forward(np.zeros((12, 4, 4, 3), np.float32)).outcomes == {"survival": 3.0}
