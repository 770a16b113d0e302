"""Work on cases for tests of the per-case cache: its results show when it was done, and it can fail."""

import os
import time
from pathlib import Path
from typing import Any

CaseWork = tuple[str, str]
"""A case's name, and what to do with it: write its name, fail or die."""


def facts(work: CaseWork) -> object:
    return work[0]


def write_name(work: CaseWork, folder: Path) -> dict[str, Any]:
    """Write the name and return the time, which identifies the call."""
    name, do = work
    if do == "fail":
        raise ValueError(f"{name}: broken")
    if do == "die":
        (folder / "half").write_text("half")
        os._exit(9)
    (folder / "name.txt").write_text(name)
    return {"name": name, "done_ns": time.time_ns()}
