"""Toy cases that a network learns in seconds, and the same initial weights in every run of a test."""

import keras
import pytest

from glioseg.data.store.cropped_cases import StoredCase
from tests.helpers.toys import write_toy


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Seed Keras, so that a test does not depend on the tests that ran before it in the process."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder, number) for number in range(5)]
