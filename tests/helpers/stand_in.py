"""A stand-in for a glioseg project: git and DVC are real, and each stage is a line of arithmetic."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import glioseg
from glioseg.mlops.provenance.recorder import record_lineage
from glioseg.mlops.registry.candidate import Evaluation
from glioseg.mlops.registry.register import register
from glioseg.mlops.tracking.mlflow_runs import log_evaluation
from glioseg.mlops.tracking.model_files import ModelFiles
from tests.helpers.gate import make_rules
from tests.helpers.projects import ROOT, commit, configure_repository, succeed

PACKAGE = Path(glioseg.__file__).parent
STAGE = Path(__file__).with_name("stand_in_stage.py")
LIBRARY = "OFFSET = 0.0\n"
STAGES = {
    "acquire": ([], ["data/raw"]),
    "validate": (["data/raw"], ["reports/validation/raw.json", "reports/validation/cropped.json"]),
    "crop": (["data/raw"], ["data/cropped"]),
    "split": (["data/cropped"], ["data/splits.json"]),
    "tune": (["data/cropped", "data/splits.json"], ["reports/tune"]),
    "train": (
        ["data/cropped", "data/splits.json", "reports/tune/best_params.json"],
        ["models/trained", "reports/train/run.json"],
    ),
    "calibrate": (
        ["data/cropped", "models/trained", "reports/train/run.json"],
        ["models/calibrated", "reports/calibrate/model.json"],
    ),
    "evaluate": (
        ["data/raw", "data/splits.json", "models/calibrated", "reports/calibrate/model.json"],
        ["reports/per_case.csv", "reports/metrics.json"],
    ),
}
CODE = ["pipelines/stage.py", "src/glioseg_stand_in"]


def make_stand_in(home: Path, identity: dict) -> Path:
    """Make a git repository in which `dvc repro` has run once.

    Args:
        home: the folder to make.
        identity: `run_id` and `model_id` of the training, and `study`, the content of study.json.
    """
    for folder in ("pipelines", CODE[1], ".dvc"):
        (home / folder).mkdir(parents=True)
    shutil.copy(STAGE, home / CODE[0])
    (home / CODE[1] / "__init__.py").write_text(LIBRARY)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "requirements.lock"):
        shutil.copy(ROOT / name, home / name)
    for name in ("params.yaml", "contract.yaml"):
        shutil.copy(ROOT / name, home / name)
    (home / "identity.json").write_text(json.dumps(identity))
    (home / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: _stage(name) for name in STAGES}}))
    subprocess.run(["git", "init", "-q"], cwd=home, check=True)
    configure_repository(home)
    commit(home, "A stand-in")
    succeed(home, "dvc", "repro")
    return home


def _stage(name: str) -> dict:
    deps, outs = STAGES[name]
    return {"cmd": f"python pipelines/stage.py {name}", "deps": [*deps, *CODE], "outs": outs}


def register_project(client, name, recorder=record_lineage):
    """Log an evaluation of the present project and register its model; the champion's address."""
    record = json.loads(Path("reports/calibrate/model.json").read_text())
    metrics, table = json.loads(Path("reports/metrics.json").read_text()), Path("reports/per_case.csv")
    log_evaluation(run=record, params={}, cases=1, test_data="c", metrics=metrics, files=[table])
    register(
        client,
        rules=make_rules(name),
        model_files=ModelFiles(sorted(Path("models/calibrated").iterdir()), PACKAGE),
        run_id=record["run_id"],
        evaluation=Evaluation(table, ["c"]),
        recorder=recorder,
        score=lambda folder: pytest.fail("expected no new evaluation"),
    )
    return f"models:/{name}@champion"
