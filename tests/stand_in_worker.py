"""What a Dask worker loads first (`--preload`): asked for a network it gives a formula, which is quick."""

import pytest

from tests.predicting import stand_in


def dask_setup(worker: object) -> None:
    """Called by the worker as it starts."""
    stand_in(pytest.MonkeyPatch())
