"""Worker: sends tasks that do nothing through a Dask scheduler, as work over cases is sent."""

import time
from operator import attrgetter
from pathlib import Path

from serve import serve

from glioseg.compute import Cluster
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.data.cohort.cases import Case


def send(*, address: str, tasks: int) -> dict[str, float]:
    """Have as many cases named by workers that look at nothing else.

    Returns:
        `seconds`; `used_s`: those of a processor that this process used.
    """
    cases = [_case(f"case_{number:06d}") for number in range(tasks)]
    begun, used_s = time.perf_counter(), time.process_time()
    names = Cluster(address).map(attrgetter("case"), cases, title="nothing")
    taken = {"seconds": time.perf_counter() - begun, "used_s": time.process_time() - used_s}
    if names != [case.case for case in cases]:
        raise ValueError(f"expected the names of {tasks} cases in their order, got {len(names)} others")
    return taken


def _case(name: str) -> Case:
    """What travels of a case: its name, and where its files are."""
    folder = Path("/shared/scans") / name
    return Case(name, {role: folder / f"{name}_{role}.nii.gz" for role in ROLES}, LabelScheme.BRATS2021)


if __name__ == "__main__":
    serve(send)
