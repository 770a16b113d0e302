from dataclasses import replace

import numpy as np
import pytest

from glioseg.core.memory import peak_gb
from glioseg.models.inference.forward import examine
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
    found = examine([network], IMAGE, make_settings(memory_gb=memory_gb))
    assert set(network.shapes) == shapes
    np.testing.assert_allclose(found.regions, squash(IMAGE), rtol=1e-5)


def test_windows_where_validation_found_them_better():
    network = Formula(squash)
    examine([network], IMAGE, make_settings(one_pass=False))
    assert set(network.shapes) == {(8, 8, 8)}


def test_a_budget_for_no_window_is_one_clear_line_that_tells_the_truth():
    settings = make_settings(memory_gb=0.5, window_shape=(96, 96, 8), base_filters=8)
    image = np.zeros((100, 8, 8, 4), np.float32)
    # 1.35 GB, 73728 voxels of 80 + 8 · 28 bytes (0.0224 GB) and 0.0192 GB of weights: 1.3916.
    expected = r"expected at least 1\.4 GB for a window of \[96, 96, 8\] voxels, got 0\.5"
    with pytest.raises(ValueError, match=f"^inference.memory_gb: {expected}$"):
        examine([Formula(squash)], image, settings)
    examine([Formula(squash)], image, replace(settings, memory_gb=1.4))


def test_mirror_images_are_averaged_and_mirrored_back():
    """The answer is where a voxel lies along each axis: mirrored, 0, 1, 2, 3 becomes 3, 2, 1, 0."""

    def place(batch):
        d, h, w = np.indices(batch.shape[1:4])
        return np.stack([d, h, w], axis=-1)[np.newaxis] / 3

    network = Formula(place)
    found = examine([network], np.zeros((4, 4, 4, 4), np.float32), make_settings(mirror=True))
    # A place x and its mirror image 1 − x have the mean ½ everywhere.
    np.testing.assert_allclose(found.regions, 0.5)
    assert len(network.shapes) == 8


def test_a_network_that_mirrors_change_nothing_for_answers_as_without_them():
    without, mirrored = (
        examine([Formula(squash)], IMAGE, make_settings(mirror=mirror)).regions for mirror in (False, True)
    )
    np.testing.assert_allclose(mirrored, without, rtol=1e-5)


def test_members_are_averaged_and_so_are_their_outcomes():
    members = [
        Formula(lambda x: np.full((*x.shape[:4], 3), 0.25), grade=0.2, survival=1.0),
        Formula(lambda x: np.full((*x.shape[:4], 3), 0.75), grade=0.6),
    ]
    found = examine(members, IMAGE, make_settings())
    np.testing.assert_array_equal(found.regions, np.full((*IMAGE.shape[:3], 3), 0.5))
    assert found.outcomes == pytest.approx({"grade": 0.4, "survival": 1.0})


def test_label_networks_answer_in_regions_too():
    labels = Formula(lambda x: np.broadcast_to([0.5, 0.75, 0.0], (*x.shape[:4], 3)))
    found = examine([labels], IMAGE, make_settings(target="labels"))
    # Odds 1 (NCR), 3 (ED), 0 (ET) and 1 for background: 1/5, 3/5, 0, 1/5.
    np.testing.assert_allclose(
        found.regions, np.broadcast_to([0.8, 0.2, 0.0], found.regions.shape), atol=1e-6
    )


def test_a_network_is_compiled_once_for_all_shapes():
    """Two graphs of one network differ in the last bits: which scan came first would show in the answers."""
    import keras

    image = keras.Input((None, None, None, 4))
    answer = keras.layers.Conv3D(3, 3, padding="same", activation="sigmoid")(image)
    network = keras.Model(image, {"segmentation": answer})
    examine([network], IMAGE, make_settings())
    graphs = network.predict_function.experimental_get_tracing_count()
    for shape in ((16, 12, 10, 4), (4, 6, 8, 4)):
        examine([network], np.zeros(shape, np.float32), make_settings())
    assert network.predict_function.experimental_get_tracing_count() == graphs
