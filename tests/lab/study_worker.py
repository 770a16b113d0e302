"""What a Dask worker loads first (`--preload`): its tune workers run a study of arithmetic."""

import sys
from pathlib import Path

from glioseg.cli import helpers


def dask_setup(worker: object) -> None:
    """Called by the worker as it starts."""
    helpers.COMMAND = (sys.executable, str(Path(__file__).with_name("tethered_study.py")))
