"""A project like glioseg's whose stages are arithmetic: git and DVC are real, and a stage takes no time."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import glioseg
from glioseg.mlops.provenance.recorder import keep_lineage
from glioseg.mlops.registry.mlflow_registry import register
from glioseg.mlops.tracking.candidate import Evaluation, Source
from glioseg.mlops.tracking.mlflow_runs import log_evaluation
from tests.helpers.projects import ROOT, commit, settle_in, succeed
from tests.helpers.rules import make_rules

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
    """A git repository in which `dvc repro` has run once.

    Args:
        home: a folder to make.
        identity: run_id and model_id of the training, and the study's as `study`.
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
    settle_in(home)
    commit(home, "A stand-in")
    succeed(home, "dvc", "repro")
    return home


def _stage(name: str) -> dict:
    deps, outs = STAGES[name]
    return {"cmd": f"python pipelines/stage.py {name}", "deps": [*deps, *CODE], "outs": outs}


def offer(client, name, keep=keep_lineage):
    """Evaluate and register what lies here, as the stages do; the version's address."""
    record = json.loads(Path("reports/calibrate/model.json").read_text())
    metrics, table = json.loads(Path("reports/metrics.json").read_text()), Path("reports/per_case.csv")
    log_evaluation(run=record, params={}, cases=1, test_data="c", metrics=metrics, files=[table])
    register(
        client,
        params=make_rules(name),
        source=Source(sorted(Path("models/calibrated").iterdir()), PACKAGE),
        run_id=record["run_id"],
        evaluation=Evaluation(table, ["c"]),
        keep=keep,
        score=lambda folder: pytest.fail("not asked"),
    )
    return f"models:/{name}@champion"
