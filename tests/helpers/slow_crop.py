"""Crop the cases of the project here, slowly: `python -m tests.helpers.slow_crop CLUSTER FOLDER`."""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from glioseg.compute import Cluster
from glioseg.data.cohort.case_cache import record_cases
from glioseg.data.cohort.cases import Case, find_cases
from glioseg.data.store.cropped_store import store_case

CASE_S = 1.0
HOST = "TEST_HOST"
"""Environment variable: the name under which a worker signs."""


def crop_slowly(case: Case, folder: Path, *, log: Path) -> dict[str, Any]:
    """Crop a case; who began it is written down. A host that is told to hangs, as without its storage."""
    host = os.environ.get(HOST, "here")
    with (log / case.case).open("a") as signed:
        signed.write(f"{host}\n")
    time.sleep(CASE_S if host != "here" else 0)
    while (log / f"hang {host}").exists():
        time.sleep(0.1)
    return store_case(case, folder, margin_vox=1, spacings_mm=(1, 2))


def main(kind: str, folder: Path) -> None:
    log = folder.with_suffix(".log")
    log.mkdir()
    record_cases(
        partial(crop_slowly, log=log.absolute()),
        find_cases(Path("scans")),
        code="glioseg.data.store.cropped_store",
        facts=lambda case: case.case,
        reads=lambda case: case.files.values(),
        folder=folder,
        title="crop",
        cluster=Cluster(kind),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
