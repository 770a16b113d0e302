"""Processes of this machine, and what Ctrl-C leaves of their work."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from glioseg.compute import Cluster
from tests.helpers.clusters import SETTINGS
from tests.helpers.interrupts import started
from tests.helpers.waiting import until

ASK = """
import sys
from pathlib import Path
from glioseg.compute import Cluster
from tests.compute.test_local import write_for_ever
print("asks")
try:
    Cluster(workers=2).map(write_for_ever, [Path(sys.argv[1], str(number)) for number in range(5)], title="x")
except KeyboardInterrupt:
    sys.exit(130)
"""


def write_for_ever(file: Path) -> None:
    """Begin a file, which is gone again if the work does not come to its end."""
    try:
        file.touch()
        time.sleep(600)
    finally:
        file.rename(file.with_suffix(".gone"))


@pytest.fixture
def asks(tmp_path):
    (tmp_path / "files").mkdir()
    command = [sys.executable, "-c", ASK, str(tmp_path / "files")]
    environment = os.environ | SETTINGS
    return partial(started, command, tmp_path / "log", environment=environment, cwd=tmp_path)


@pytest.mark.parametrize("group", [True, False])
def test_ctrl_c_interrupts_what_is_under_way_and_begins_nothing_else(asks, tmp_path, group):
    with asks() as command:
        until(lambda: len(list((tmp_path / "files").iterdir())) == 2, "two files")
        assert command.interrupt(group=group) == (130, [])
    assert {file.suffix for file in (tmp_path / "files").iterdir()} == {".gone"}
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_ctrl_c_while_processes_start_is_silent(asks):
    with asks() as command:
        command.wait_for("asks")
        until(psutil.Process(command.process.pid).children, "a process")
        assert command.interrupt(group=True) == (130, [])


def quick_or_for_ever(file: Path) -> None:
    if file.name != "0":
        write_for_ever(file)
    until(file.with_name("1").exists, "the other file")


def test_who_stops_iterating_interrupts_the_rest(tmp_path):
    results = Cluster(workers=2).each(quick_or_for_ever, [tmp_path / name for name in "01"], title="write")
    assert next(results) == (0, None)
    results.close()
    assert [file.name for file in tmp_path.iterdir()] == ["1.gone"]


def test_threads_come_to_the_end_of_what_they_began(tmp_path):
    def touch(file: Path) -> None:
        file.touch()

    results = Cluster("threads", workers=1).each(touch, [tmp_path / name for name in "01"], title="touch")
    next(results)
    results.close()
    assert (tmp_path / "0").exists()
