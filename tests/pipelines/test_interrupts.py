"""Ctrl-C ends a stage with one line at any time, and leaves no process and no partial output."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers.interrupts import started
from tests.helpers.projects import environment

LINE = "pipelines/{}: stopped; run `dvc repro` again to go on"
OUTS = ("data", "models", "reports")


@pytest.fixture
def project(reproduced, tmp_path):
    """A copy of a reproduced project, in which the next training would take hours."""
    home = tmp_path / "project"
    shutil.copytree(reproduced, home, symlinks=True)
    shutil.rmtree(home / "data" / ".records")
    shutil.rmtree(home / "mlruns")  # of the other place: its runs hold their addresses
    params = yaml.safe_load((home / "params.yaml").read_text())
    params["train"]["epochs"] = params["tune"]["epochs"] = 10_000
    params["tune"]["steps_per_epoch"] = 1
    params["compute"]["cluster"] = "processes"
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    return home


def contents(home: Path) -> dict[str, bytes]:
    """The outputs of stages; the per-case cache is not an output."""
    files = [file for out in OUTS for file in (home / out).rglob("*") if file.is_file()]
    return {str(file.relative_to(home)): file.read_bytes() for file in files if ".records" not in file.parts}


@pytest.mark.parametrize(
    ("script", "words", "moment"),
    [
        ("crop.py", [], "read files"),
        ("validate.py", ["raw"], "read files"),  # while a thread imports Great Expectations
        ("tune.py", [], "trials are finished"),
    ],
)
def test_a_stage(project, tmp_path, script, words, moment):
    before = contents(project)
    command = ["python", f"pipelines/{script}", *words]
    with started(command, tmp_path / "log", environment=environment(project), cwd=project) as stage:
        stage.wait_for(moment)
        assert stage.interrupt(group=True) == (130, [LINE.format(script)])
    assert contents(project) == before


def test_dvc_repro(project, tmp_path):
    """DVC adds a line that names the failed stage."""
    before = contents(project)
    command = ["dvc", "repro", "--single-item", "train"]
    with started(command, tmp_path / "log", environment=environment(project), cwd=project) as repro:
        repro.wait_for("epoch 1/10000")
        code, (line, *of_dvc) = repro.interrupt(group=True)
    assert code != 0
    assert line == LINE.format("train.py")
    assert [words[:39] for words in of_dvc] == ["ERROR: failed to reproduce 'train': fai"]
    after = contents(project)
    assert after.items() <= before.items()  # DVC removes a stage's outs before it runs
    assert {path for path in before if path not in after} <= {
        path for path in before if path.startswith(("models/trained", "reports/train"))
    }
