"""What a Dask worker loads first (`--preload`): its tune workers run a study of arithmetic."""

import sys

from glioseg.cli import helpers
from tests.projects import ROOT  # Dask runs a copy of this file


def dask_setup(worker: object) -> None:
    """Called by the worker as it starts."""
    helpers.COMMAND = (sys.executable, str(ROOT / "tests/lab/tethered_study.py"))
