"""Shape annotations are checked while the tests run; real scans are used where they are given."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for name in ("GLIOSEG_DATABASE_URL", "GLIOSEG_ARTIFACTS_URL", "GLIOSEG_CLUSTER"):
    os.environ.pop(name, None)  # a test works in folders of its own, not in what a user shares with others
for name in ("no_proxy", "NO_PROXY"):  # servers of tests run on this machine, and a proxy cannot reach them
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
# What a shell starts in the background is deaf to Ctrl-C, and so is all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
install_import_hook(
    [
        "glioseg.core.geometry",
        "glioseg.core.labels",
        "glioseg.core.nifti",
        "glioseg.data",
        "glioseg.evaluation",
    ],
    "beartype.beartype",
)

pytest_plugins = ["tests.helpers.stage_project"]  # after the hook, since it imports glioseg.data

ROOT = Path(__file__).parents[1]

# A busy machine makes an example slow, which says nothing about the code.
settings.register_profile("glioseg", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("glioseg")


TOGETHER = {
    "tests/deploy": "team",
    "tests/mlops/provenance/test_reproduce.py": "reproduced",
    "tests/pipelines/test_interrupts.py": "reproduced",
    "tests/pipelines/test_repro.py": "reproduced",
    "tests/browser": "browser",
}
"""Tests that share what one process makes, or that change the reproduced project itself, and so a process."""
FIRST = (
    "tests/dvc/test_experiments.py",  # makes the reproduced project, while the next three need none
    "browser",
    "tests/drills/test_drill.py",
    "tests/mlops/test_pretraining.py",
    "team",
    "reproduced",
    "tests/models/training/test_distributed.py",
    "tests/models/training/test_backends.py",
    "tests/dvc/test_versions.py",
    "tests/dvc/test_remotes.py",
)
"""What takes longest, in the order in which processes take it: a long one at the end would run alone."""
PROCESS_GB, FEWEST, MOST = 4, 2, 6
"""Memory of a process with what its tests start. Of more than six the longest share of tests decides."""
LIMIT_S = 900
"""As `timeout` in pyproject.toml, but without the set-up."""


def _share(nodeid: str) -> str:
    """The name under which tests are kept in one process: that of their file, or one of `TOGETHER`."""
    file = nodeid.partition("::")[0]
    return next((name for start, name in TOGETHER.items() if file.startswith(start)), file)


def _rank(item: pytest.Item) -> int:
    share = _share(item.nodeid)
    return FIRST.index(share) if share in FIRST else len(FIRST)


class Shares(LoadScopeScheduling):
    """Deals out tests by what they share; xdist's own groups go unheard by this pytest."""

    def _split_scope(self, nodeid: str) -> str:
        return _share(nodeid)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Called by xdist for `--numprocesses=auto`: one more than there are cores, since tests often wait."""
    from glioseg.compute.local import usable_cores

    memory = psutil.virtual_memory().available // (PROCESS_GB * 10**9)
    return max(FEWEST, min(usable_cores() + 1, memory, MOST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    """Called by xdist where there are several processes."""
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; of a reproduced project the set-up may take longer than any test."""
    items.sort(key=_rank)
    for item in items:
        if "reproduced" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(LIMIT_S, func_only=True), append=False)


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
    from tests.helpers.toys import make_train  # after the hook above, which checks what it imports

    return make_train


@pytest.fixture(scope="session")
def tiny_network() -> Callable:
    """The shape of a network that trains in seconds; keyword arguments change it."""
    from tests.helpers.toys import make_network

    return make_network


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of these tests share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def reproduced(common: Path) -> Path:
    """A project of eight tiny cases, committed, reproduced once, and pushed to the folder `store` beside it.

    The first process that needs it makes it. Only tests that share the name "reproduced" in `TOGETHER` may
    change what is in it, and they commit and push nothing. Others clone it and pull; scans as they were
    lie in `scans` beside it.
    """
    from tests.helpers.projects import make_once, reproduce_tiny_project

    return make_once(common / "lab", reproduce_tiny_project)
