"""Clones of the reproduced project: what another person, or the same one on another machine, works in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.projects import clone_project, succeed
from tests.helpers.s3 import s3_server


@pytest.fixture(scope="module")
def clone(reproduced: Path, request: pytest.FixtureRequest) -> Path:
    """A clone that has pulled, one for each file of tests."""
    home = clone_project(reproduced, reproduced.with_name(request.module.__name__.rpartition(".")[2]))
    succeed(home, "dvc", "pull")
    return home


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, on this machine."""
    with s3_server() as address:
        yield address
