"""What all commands share: the version, and one line if packages of an extra are not installed."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from glioseg.cli import NEEDED, app
from tests.helpers.extras import WITHOUT_EXTRAS
from tests.helpers.predicting import write_scans
from tests.helpers.projects import ROOT
from tests.helpers.servers import free_port

RUN = """
import json, sys
from typer.testing import CliRunner
from glioseg.cli import app
results = [CliRunner().invoke(app, words) for words in json.loads(sys.argv[1])]
print(json.dumps([[result.exit_code, result.output] for result in results]))
"""
ADDRESS = "models:/glioseg/1"
COMMANDS = {
    "forecast": [],
    "lineage": [ADDRESS],
    "prune-runs": [],
    "report": [],
    "reproduce": [ADDRESS],
    "rollback": [],
    "serve": ["--port", str(free_port())],
    "tune-worker": [],
}
"""The commands that need an extra, with arguments."""


def test_the_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"glioseg {version('glioseg')}\n")


@pytest.fixture
def project(tmp_path):
    """A project's settings, and the files that commands look for before they import packages."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").touch()
    return tmp_path


def outputs(folder, *commands):
    """Exit code and output of commands, in one process without the packages of all extras."""
    words = [sys.executable, "-c", WITHOUT_EXTRAS + RUN, json.dumps(commands)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_each_command_names_the_extra_that_it_needs(project):
    assert COMMANDS.keys() == NEEDED.keys()
    found = outputs(project, *([name, *words] for name, words in COMMANDS.items()))
    for name, (code, output) in zip(COMMANDS, found, strict=True):
        start, _, end = output.partition(" (")
        assert (code, start) == (1, f"glioseg {name}: needs packages that are not installed")
        assert end.endswith(f"): pip install 'glioseg[{NEEDED[name]}]'\n")


def test_the_other_commands_need_no_extra(project):
    found = outputs(project, ["preset", "seed"], ["relocate"], ["predict", "--help"])
    assert [code for code, _ in found] == [0, 0, 0], found


def test_a_registered_model_needs_mlflow(project):
    write_scans(project, "case", ["t1"])
    (found,) = outputs(project, ["predict", "case", "-o", "x.nii.gz", "--model", ADDRESS])
    line = f"{ADDRESS}: needs packages that are not installed (mlflow): pip install 'glioseg[track]'"
    assert found == [1, f"glioseg predict: {line}\n"]
