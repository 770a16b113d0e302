import shutil
from dataclasses import replace

import pytest

from glioseg.mlops.tracking.storage import Lab


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
    from tests.helpers.shops import Shop  # not every test of this folder needs MLflow

    return Shop(common_lab, f"unet-{tmp_path.name}", tmp_path)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A lab with two registered versions and much that nobody needs; nobody changes this one."""
    from tests.helpers import stock

    return stock.build(Lab(tmp_path_factory.mktemp("built")))


@pytest.fixture
def stocked(built, tmp_path, monkeypatch):
    """A copy of such a lab, in a folder with a name that has to be quoted in an address and in SQL."""
    from glioseg.mlops.maintenance.relocate import relocate
    from glioseg.mlops.tracking.mlflow_runs import connect

    lab = Lab(tmp_path / "o'Neill's 100% ü")
    shutil.copytree(built.lab.root, lab.root)
    relocate(lab)
    monkeypatch.chdir(lab.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return replace(built, lab=lab, client=connect(lab))


@pytest.fixture
def run(common_lab, request):
    """Runs the study of this test; called again it goes on with it."""
    from glioseg.mlops.tuning import search
    from tests.helpers import studies

    def run(tune=studies.TUNE, objective=studies.train, **given):
        standing = {"name": request.node.name, "first": studies.FIRST, "observer": studies.Silent()}
        return search(lab=common_lab, tune=tune, objective=objective, **standing | given)

    return run


@pytest.fixture(scope="session")
def stood_in(common_root, tmp_path_factory):
    """A stand-in project that ran once, and the runs of the common lab that it names."""
    from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, connect, experiment_id
    from tests.helpers.stand_in import make_stand_in

    client = connect(Lab(common_root))
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
def project(stood_in, common_lab, tmp_path, monkeypatch):
    """A copy of the stand-in project for each test, in which it runs."""
    home = tmp_path / "a project"
    shutil.copytree(stood_in, home, symlinks=True)
    monkeypatch.chdir(home)
    return home
