"""Work over hosts: one is cut off half-way, another joins, and all comes out as on one machine."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers.clusters import SETTINGS, running, scheduler, until, worker
from tests.helpers.hosts import Host, hosts
from tests.helpers.projects import write_patient
from tests.helpers.slow_crop import HOST

CASES = 12
QUICK = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}
"""A lost host is noticed after 11 seconds, the least that Dask takes, and not 30; see docs/clusters.md."""
CROP = [sys.executable, "-m", "tests.helpers.slow_crop"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for index in range(CASES):
        write_patient(tmp_path / "scans", index)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def begun_by(log: Path) -> dict[str, list[str]]:
    """Case by case, the hosts that began it."""
    return {file.name: file.read_text().split() for file in log.glob("Patient *")}


def hosts_at_work(log: Path) -> set[str]:
    """Those that began a case."""
    return {name for names in begun_by(log).values() for name in names}


@contextmanager
def start(host: Host, address: str, folder: Path) -> Iterator[None]:
    """A worker on a host of its own."""
    settings = QUICK | {HOST: host.name}
    with worker(address, folder / f"{host.name}.txt", before=host.before, settings=settings):
        yield


def test_a_host_is_cut_off_half_way_and_another_joins(project: Path) -> None:
    subprocess.run([*CROP, "threads", "local"], cwd=project, env=SETTINGS, check=True)
    log, said = project / "far.log", project / "client.txt"
    with hosts("head", "one", "two", "late") as (head, one, two, late), ExitStack() as stack:
        served = scheduler(project, host=head.address, before=head.before, settings=QUICK)
        address = stack.enter_context(served)
        for host in (one, two):
            stack.enter_context(start(host, address, project))
        asked = running([*head.before, *CROP, address, "far"], said, QUICK)
        cropping = stack.enter_context(asked)
        until(lambda: hosts_at_work(log) == {one.name, two.name}, "both hosts at work")
        for host in (one, two):
            (log / f"hang {host.name}").touch()
        one.cut_off()
        stack.enter_context(start(late, address, project))
        until(lambda: late.name in hosts_at_work(log), "a third host at work")
        (log / f"hang {two.name}").unlink()
        until(lambda: cropping.poll() is not None, "the end")
        assert cropping.returncode == 0, said.read_text()
    assert contents(project / "far") == contents(project / "local")
    begun = begun_by(log)
    assert len(begun) == CASES
    again = [names for names in begun.values() if len(names) > 1]
    assert again != []
    assert {names[0] for names in again} == {one.name}
    assert {names[-1] for names in again} <= {two.name, late.name}
