"""Crop the cases of this project slowly: `python -m tests.helpers.slow_crop CLUSTER FOLDER`."""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from glioseg.compute import Cluster
from glioseg.data.cohort.case_cache import map_cached
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.store.cropped_store import store_case

CASE_S = 1.0
HOST = "TEST_HOST"
"""Environment variable with the name that a worker writes to the log."""


def crop_slowly(case: Case, folder: Path, *, log: Path) -> dict[str, Any]:
    """Crop a case, and log the host; a file `hang HOST` makes a host hang, as without its storage."""
    host = os.environ.get(HOST, "here")
    with (log / case.case).open("a") as hosts:
        hosts.write(f"{host}\n")
    time.sleep(CASE_S if host != "here" else 0)
    while (log / f"hang {host}").exists():
        time.sleep(0.1)
    return store_case(case, folder, margin_vox=1, spacings_mm=(1, 2))


def main(kind: str, folder: Path) -> None:
    log = folder.with_suffix(".log")
    log.mkdir()
    map_cached(
        partial(crop_slowly, log=log.absolute()),
        find_cases(Path("scans")),
        code="glioseg.data.store.cropped_store",
        key=lambda case: case.case,
        inputs=lambda case: case.files.values(),
        folder=folder,
        title="crop",
        cluster=Cluster(kind),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
