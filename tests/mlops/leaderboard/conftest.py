"""A project with evaluations on two test sets and a study, for the leaderboard's tests."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers import studies, trainings

ROOT = Path(__file__).parents[3]
OTHER_CASES = {"case 9": (0.5, 0.5, 0.5)}


@pytest.fixture(scope="session")
def evaluated_project(tmp_path_factory):
    """Two models on three cases: the first, the champion, was evaluated twice, the other on a fourth too."""
    root = tmp_path_factory.mktemp("a project")
    cropped = {"path": "data/cropped", "md5": "0123456789abcdef0123456789abcdef.dir"}
    lock = {"stages": {"crop": {"outs": [cropped]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    shutil.copy(ROOT / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        patch.delenv("DVC_EXP_NAME", raising=False)
        client = connect(ProjectStorage(root))
        one, other = (trainings.train(ProjectStorage(root), root / "files", depth=depth) for depth in (3, 4))
        trainings.evaluate(one, root / "first", trainings.A, depth=3)
        trainings.evaluate(one, root / "again", trainings.A, depth=3)
        trainings.evaluate(other, root / "B", trainings.B, depth=4)
        trainings.evaluate(other, root / "C", OTHER_CASES, depth=4, test_data="2" * 64)
        client.create_registered_model("glioseg")
        client.create_model_version("glioseg", f"models:/{one.model_id}", model_id=one.model_id)
        client.set_registered_model_alias("glioseg", "champion", "1")
        study, parent = studies.run(ProjectStorage(root))
    return SimpleNamespace(root=root, client=client, one=one, other=other, study=study, parent=parent)


@pytest.fixture
def project(evaluated_project, monkeypatch):
    """The evaluated project, as the working directory."""
    monkeypatch.chdir(evaluated_project.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    connect(ProjectStorage(evaluated_project.root))
    return evaluated_project


@pytest.fixture
def sets(project):
    """The project's evaluations by test set: the newest first."""
    return find_evaluations(project.client).test_sets
