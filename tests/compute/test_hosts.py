"""Work on several hosts: one is cut off, another joins, and the results are those of one machine."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers.clusters import SETTINGS, running, scheduler, until, worker
from tests.helpers.hosts import Host, hosts
from tests.helpers.projects import write_case
from tests.helpers.slow_crop import HOST

CASES = 12
QUICK = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}
"""Timeout for a lost host of 11 seconds, the minimum of Dask, instead of 30; see docs/clusters.md."""
CROP = [sys.executable, "-m", "tests.helpers.slow_crop"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for index in range(CASES):
        write_case(tmp_path / "scans", index)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def hosts_by_case(log: Path) -> dict[str, list[str]]:
    """For each case, the hosts that started it."""
    return {file.name: file.read_text().split() for file in log.glob("Patient *")}


def hosts_at_work(log: Path) -> set[str]:
    """Hosts that started a case."""
    return {name for names in hosts_by_case(log).values() for name in names}


@contextmanager
def start(host: Host, address: str, folder: Path) -> Iterator[None]:
    """A worker on a separate host."""
    settings = QUICK | {HOST: host.name}
    with worker(address, folder / f"{host.name}.txt", before=host.before, settings=settings):
        yield


def test_a_host_is_cut_off_and_another_joins(project: Path) -> None:
    subprocess.run([*CROP, "threads", "local"], cwd=project, env=SETTINGS, check=True)
    log, output = project / "far.log", project / "client.txt"
    with hosts("head", "one", "two", "late") as (head, one, two, late), ExitStack() as stack:
        head_scheduler = scheduler(project, host=head.address, before=head.before, settings=QUICK)
        address = stack.enter_context(head_scheduler)
        for host in (one, two):
            stack.enter_context(start(host, address, project))
        command = running([*head.before, *CROP, address, "far"], output, QUICK)
        cropping = stack.enter_context(command)
        until(lambda: hosts_at_work(log) == {one.name, two.name}, "both hosts at work")
        for host in (one, two):
            (log / f"hang {host.name}").touch()
        one.cut_off()
        stack.enter_context(start(late, address, project))
        until(lambda: late.name in hosts_at_work(log), "a third host at work")
        (log / f"hang {two.name}").unlink()
        until(lambda: cropping.poll() is not None, "the end")
        assert cropping.returncode == 0, output.read_text()
    assert contents(project / "far") == contents(project / "local")
    by_case = hosts_by_case(log)
    assert len(by_case) == CASES
    repeated = [names for names in by_case.values() if len(names) > 1]
    assert repeated != []
    assert {names[0] for names in repeated} == {one.name}
    assert {names[-1] for names in repeated} <= {two.name, late.name}
