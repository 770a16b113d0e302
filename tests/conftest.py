"""Shape annotations are checked while the tests run; real scans are used where they are given."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for name in ("GLIOSEG_DATABASE_URL", "GLIOSEG_ARTIFACTS_URL", "GLIOSEG_CLUSTER"):
    os.environ.pop(name, None)  # a test works in folders of its own, not in what a user shares with others
install_import_hook(
    ["glioseg.geometry", "glioseg.labels", "glioseg.data", "glioseg.eval"], "beartype.beartype"
)

ROOT = Path(__file__).parents[1]

# A busy machine makes an example slow, which says nothing about the code.
settings.register_profile("glioseg", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("glioseg")


TOGETHER = {
    "tests/deploy": "reproduced",
    "tests/dvc": "reproduced",
    "tests/lab/test_reproduce.py": "reproduced",
    "tests/pipelines/test_interrupts.py": "reproduced",
    "tests/pipelines/test_repro.py": "reproduced",
    "tests/browser": "browser",
}
"""Tests that share what takes long to make, a reproduced project or a browser, and so a process."""


def _share(nodeid: str) -> str:
    """The name under which tests are kept in one process: that of their file, or one of `TOGETHER`."""
    file = nodeid.partition("::")[0]
    return next((name for start, name in TOGETHER.items() if file.startswith(start)), file)


class Shares(LoadScopeScheduling):
    """Deals out tests by what they share; xdist's own groups go unheard by this pytest."""

    def _split_scope(self, nodeid: str) -> str:
        return _share(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    """Called by xdist where there are several processes."""
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: _share(item.nodeid) not in TOGETHER.values())


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """The folder of real BraTS scans, from GLIOSEG_REAL_SCANS or beside the repository."""
    folder = Path(os.environ.get("GLIOSEG_REAL_SCANS", ROOT.parent / "shared" / "brats_sample"))
    if not folder.is_dir():
        pytest.skip("no real scans: set GLIOSEG_REAL_SCANS to a BraTS folder")
    return folder


@pytest.fixture(scope="session")
def tiny_train() -> Callable:
    """Settings of a training of seconds; keyword arguments change them."""
    from tests.toys import make_train  # after the hook above, which checks what it imports

    return make_train


@pytest.fixture(scope="session")
def tiny_network() -> Callable:
    """The shape of a network that trains in seconds; keyword arguments change it."""
    from tests.toys import make_network

    return make_network


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of eight tiny cases, committed, reproduced once, and pushed to the folder `store` beside it.

    Tests of this very folder may change it; others clone it and pull.
    """
    from tests.projects import commit, make_project, succeed

    home = make_project(tmp_path_factory.mktemp("lab") / "a project", cases=8)
    succeed(home, "dvc", "remote", "add", "--default", "store", "../store")
    commit(home, "A tiny project")
    succeed(home, "dvc", "repro")
    commit(home, "A first version")
    succeed(home, "dvc", "push")
    return home
