"""Work on cases for tests of records: it can tell how often it was done, and fail."""

import os
import time
from pathlib import Path
from typing import Any

Given = tuple[str, str]
"""A case's name, and what is to be done with it."""


def facts(given: Given) -> object:
    return given[0]


def write_name(given: Given, folder: Path) -> dict[str, Any]:
    """Write the name; the time says which call it was."""
    name, do = given
    if do == "fail":
        raise ValueError(f"{name}: broken")
    if do == "die":
        (folder / "half").write_text("half")
        os._exit(9)
    (folder / "name.txt").write_text(name)
    return {"name": name, "done_ns": time.time_ns()}
