"""Stored cases that a network learns in seconds, and weights that are the same in every run of a test."""

import keras
import pytest

from glioseg.data.store.cropped_store import StoredCase
from tests.helpers.toys import write_toy


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """First weights and what dropout drops do not depend on which tests the process ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder, number) for number in range(5)]
