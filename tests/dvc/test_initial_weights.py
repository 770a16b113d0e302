"""Weights to start from are a dependency: training is done again from others, and only then.

The stages are those of dvc.yaml, from the split on; what tunes and trains is replaced by what takes no time.
"""

import hashlib
import os
from pathlib import Path

import pytest
import yaml

from tests.helpers.projects import make_project, succeed

STAND_IN = """
import sys
from pathlib import Path
import yaml

for out in yaml.safe_load(Path("dvc.yaml").read_text())["stages"][Path(sys.argv[0]).stem]["outs"]:
    file = Path(out) if Path(out).suffix else Path(out, "best_params.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
"""
BUILTIN = Path("src/glioseg/models/builtin/model")


@pytest.fixture
def project(tmp_path):
    home = make_project(tmp_path / "project", cases=0)
    stages = yaml.safe_load((home / "dvc.yaml").read_text())["stages"]
    kept = {name: stages[name] for name in ("initial_weights", "tune", "train")}
    (home / "dvc.yaml").write_text(yaml.safe_dump({"stages": kept}))
    for name in ("data/cropped/a", "data/splits.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("{}")
    for name in ("tune", "train"):
        (home / "pipelines" / f"{name}.py").write_text(STAND_IN)
    assert ran(home) == ["initial_weights", "tune", "train"]
    return home


def ran(home):
    """The stages that run to bring the project up to date."""
    printed = succeed(home, "dvc", "repro").splitlines()
    return [line.split("'")[1] for line in printed if line.startswith("Running stage")]


def start_from(home, model):
    params = yaml.safe_load((home / "params.yaml").read_text())
    params["train"]["init_from"] = model
    (home / "params.yaml").write_text(yaml.safe_dump(params))


def put(home, model, content):
    """Put weights to where they are found by this name: of the built-in model, or of a user's file."""
    if model == "builtin":
        (home / BUILTIN / "model.keras").write_bytes(content)
        sums = f"{hashlib.sha256(content).hexdigest()}  model.keras\n"
        (home / BUILTIN / "SHA256SUMS").write_text(sums)
    else:
        (home / model).write_bytes(content)


def test_from_random_weights_nothing_is_trained_again(project):
    assert ran(project) == ["initial_weights"]


@pytest.mark.parametrize("model", ["builtin", "my.keras"])
def test_other_weights_train_again_and_the_same_do_not(project, model):
    put(project, model, b"one")
    start_from(project, model)
    assert ran(project) == ["initial_weights", "tune", "train"]
    put(project, model, b"one")  # at another time, the same bytes
    assert ran(project) == ["initial_weights"]
    put(project, model, b"two")
    assert ran(project) == ["initial_weights", "tune", "train"]
    assert ran(project) == ["initial_weights"]


def test_results_that_were_pulled_stand_where_the_weights_are_not(project):
    put(project, "my.keras", b"one")
    start_from(project, "my.keras")
    ran(project)
    os.unlink(project / "my.keras")
    assert ran(project) == ["initial_weights"]
