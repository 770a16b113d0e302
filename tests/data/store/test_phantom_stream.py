"""Synthetic cases that are rendered when training reads them."""

import numpy as np
import pytest

from glioseg.core.geometry import bounding_box
from glioseg.data.store.phantom_stream import CachedSyntheticCase, PhantomStream, SyntheticCase
from glioseg.models.training.patch_sampling import sample_batch
from glioseg.params import load_params


@pytest.fixture(scope="module")
def case():
    return SyntheticCase(3, seed=5, preset="domain_randomised")


def test_opening_a_case_twice_gives_the_same_voxels(case):
    (image, label), (again, label_again) = case.open(2), case.open(2)
    assert image.tobytes() == again.tobytes()
    assert label.tobytes() == label_again.tobytes()


def test_a_synthetic_case_has_the_format_of_the_store(case):
    image, label = case.open(2)
    assert (image.dtype, label.dtype) == (np.float16, np.uint8)
    assert image.shape == (*label.shape, 4)
    assert set(np.unique(label)) <= {0, 1, 2, 3}
    inside = image.any(axis=-1)
    # As in the store: mean 0 and standard deviation 1 over the brain, which fills the box.
    np.testing.assert_allclose(image[inside].astype(float).mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(image[inside].astype(float).std(axis=0), 1, atol=0.01)
    assert bounding_box(inside).shape == label.shape


def test_a_cached_case_is_rendered_once_and_keeps_its_resolution(case):
    cached = CachedSyntheticCase.render(case, 2)
    assert cached.open(2)[0] is cached.open(2)[0]
    assert cached.name == case.name
    with pytest.raises(ValueError, match="expected to be read at 2 mm, got 1"):
        cached.open(1)


def test_a_stream_is_a_sequence_of_cases_that_differ():
    stream = PhantomStream(10, seed=1, preset="typical")
    assert len(stream) == 10
    assert len({case.name for case in stream}) == 10
    assert stream[2:4] == [stream[2], stream[3]]
    assert stream[-1] == stream[9]
    with pytest.raises(IndexError):
        stream[10]


def test_a_training_step_renders_its_cases():
    train = load_params().train.model_copy(update={"patch_shape": (16, 16, 16), "batch_size": 1})
    stream = PhantomStream(1000, seed=1, preset="domain_randomised")
    batch, again = (sample_batch(7, stream, train=train, spacing_mm=2) for _ in range(2))
    assert batch.images.shape == (1, 16, 16, 16, 4)
    assert batch.images.tobytes() == again.images.tobytes()
