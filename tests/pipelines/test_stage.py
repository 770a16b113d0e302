"""What all stages share: one line for a package that is not installed."""

import subprocess
import sys

import pytest

from tests.helpers.clusters import SETTINGS
from tests.helpers.extras import WITHOUT_EXTRAS
from tests.helpers.projects import ROOT

RUN = """
import runpy
sys.argv = [name := "pipelines/{stage}.py"]
runpy.run_path(name, run_name="__main__")
"""


@pytest.mark.parametrize("stage", ["train", "tune", "validate"])
def test_a_stage_names_the_extra_that_it_needs(stage):
    code = f"{WITHOUT_EXTRAS}sys.path.insert(0, 'pipelines')\n{RUN.format(stage=stage)}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=SETTINGS, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"pipelines/{stage}.py: needs packages that are not installed (")
    assert line.endswith("): pip install 'glioseg[train]'")
