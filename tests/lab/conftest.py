import sys
from pathlib import Path

import pytest

from glioseg.lab.addresses import Lab

sys.path.insert(0, str(Path(__file__).parent))  # for studies.py, which also runs as a script, and shops.py


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab of its own, in a folder whose name has a space, as a user's may."""
    root = tmp_path / "my project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return Lab(root)


@pytest.fixture(scope="session")
def common_root(tmp_path_factory):
    return tmp_path_factory.mktemp("main project")


@pytest.fixture
def common_lab(common_root, tmp_path, monkeypatch):
    """One lab for many tests, since MLflow takes seconds to create its database.

    Each test runs in a folder of its own, as DVC runs an experiment in a copy of the project.
    """
    monkeypatch.setenv("DVC_ROOT", str(common_root))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Lab(common_root)


@pytest.fixture
def shop(common_lab, tmp_path):
    """A registered model of its own in the common lab."""
    from shops import Shop  # not every test of this folder needs MLflow

    return Shop(common_lab, f"unet-{tmp_path.name}", tmp_path)


@pytest.fixture
def run(common_lab, request):
    """Runs the study of this test; called again it goes on with it."""
    import studies

    from glioseg.lab.search import search

    def run(tune=studies.TUNE, objective=studies.train, **given):
        standing = {"name": request.node.name, "first": studies.FIRST, "observer": studies.Silent()}
        return search(lab=common_lab, tune=tune, objective=objective, **standing | given)

    return run
