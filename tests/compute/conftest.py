"""A Dask cluster that the tests of a module share."""

from contextlib import ExitStack

import pytest

from tests.helpers.clusters import scheduler, worker

ONE_FAILURE = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a scheduler with two workers of one thread each; a worker that a task kills restarts."""
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(folder, settings=ONE_FAILURE))
        for name in ("one", "two"):
            stack.enter_context(worker(address, folder / f"{name}.log"))
        yield address
