import shutil
import subprocess
from dataclasses import replace

import pytest

from glioseg.mlops.tracking.storage import ProjectStorage


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """Project storage for one test, in a folder whose name has a space, as a user's may."""
    root = tmp_path / "my project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return ProjectStorage(root)


@pytest.fixture(scope="session")
def common_root(tmp_path_factory):
    return tmp_path_factory.mktemp("main project")


@pytest.fixture
def shared_storage(common_root, tmp_path, monkeypatch):
    """Project storage that many tests share, since MLflow takes seconds to create its database.

    Each test runs in a folder of its own, as DVC runs an experiment in a copy of the project.
    """
    monkeypatch.setenv("DVC_ROOT", str(common_root))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    return ProjectStorage(common_root)


@pytest.fixture
def registry(shared_storage, tmp_path):
    """A registered model of its own in the shared storage."""
    from tests.helpers.registries import (
        ModelRegistry,
    )  # imports MLflow, which not every test of this folder needs

    return ModelRegistry(shared_storage, f"unet-{tmp_path.name}", tmp_path)


@pytest.fixture
def edited_package(registry, tmp_path):
    """The registry with a copy of the package, which a test may edit."""
    ignored = shutil.ignore_patterns("model", "__pycache__", "page", "swagger")
    package = shutil.copytree(registry.package, tmp_path / "copy" / "glioseg", ignore=ignored)
    return replace(registry, package=package)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Storage with two registered versions and many unreferenced things; tests must not change it."""
    from tests.helpers import stock

    return stock.build(ProjectStorage(tmp_path_factory.mktemp("built")))


@pytest.fixture
def stocked(built, tmp_path, monkeypatch):
    """A copy of that storage, in a folder whose name must be quoted in addresses and in SQL."""
    from glioseg.mlops.maintenance.relocate import relocate
    from glioseg.mlops.tracking.mlflow_runs import connect

    storage = ProjectStorage(tmp_path / "o'Neill's 100% ü")
    shutil.copytree(built.storage.root, storage.root)
    relocate(storage)
    monkeypatch.chdir(storage.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return replace(built, storage=storage, client=connect(storage))


@pytest.fixture
def run(shared_storage, request):
    """Runs the study of this test; a second call continues it."""
    from glioseg.mlops.tuning import search
    from tests.helpers import studies

    def run(tune=studies.TUNE, objective=studies.train, **given):
        observer = studies.RecordingObserver()
        defaults = {"name": request.node.name, "default_values": studies.FIRST, "observer": observer}
        return search(storage=shared_storage, tune=tune, objective=objective, **defaults | given)

    return run


@pytest.fixture(scope="session")
def stood_in(common_root, tmp_path_factory):
    """A stand-in project that ran once, and the runs in the shared storage that it names."""
    from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, connect, experiment_id
    from tests.helpers.stand_in import make_stand_in

    client = connect(ProjectStorage(common_root))
    train = client.create_run(experiment_id(client, "train"), run_name="a training").info.run_id
    tune = experiment_id(client, "tune")
    study = client.create_run(tune, run_name="a study", tags={"study": "study-1"}).info.run_id
    client.create_run(tune, run_name="trial 4", tags={PARENT_TAG: study, "trial": "4"})
    identity = {
        "run_id": train,
        "model_id": "m-1",
        "study": {"study": "study-1", "trial": 4, "run_id": study},
    }
    return make_stand_in(tmp_path_factory.mktemp("stand in") / "a project", identity)


@pytest.fixture
def project(stood_in, shared_storage, tmp_path, monkeypatch):
    """A copy of the stand-in project for each test, in which it runs."""
    home = tmp_path / "a project"
    shutil.copytree(stood_in, home, symlinks=True)
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit: its folder and the commit's hash."""

    def git(*words):
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "first")
    return tmp_path, git("rev-parse", "HEAD")
