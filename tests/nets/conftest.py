"""Stored cases that a network learns in seconds."""

import pytest

from glioseg.data.store import StoredCase
from tests.toys import write_toy


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder, number) for number in range(5)]
