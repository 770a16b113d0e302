"""Local pools: interruption by Ctrl-C, early end of the iteration, and killed processes."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from glioseg.compute import LOCAL, Cluster, ClusterError
from tests.helpers.clusters import SETTINGS, running
from tests.helpers.interrupts import started
from tests.helpers.waiting import until

CLIENT = """
import sys
from pathlib import Path
from glioseg.compute import Cluster
from tests.compute.test_local import write_forever
print("started")
try:
    Cluster(workers=2).map(write_forever, [Path(sys.argv[1], str(number)) for number in range(5)], title="x")
except KeyboardInterrupt:
    sys.exit(130)
"""


def write_forever(file: Path) -> None:
    """Create a file; it is renamed when the function is interrupted."""
    try:
        file.touch()
        time.sleep(600)
    finally:
        file.rename(file.with_suffix(".gone"))


@pytest.fixture
def client(tmp_path):
    (tmp_path / "files").mkdir()
    command = [sys.executable, "-c", CLIENT, str(tmp_path / "files")]
    environment = os.environ | SETTINGS
    return partial(started, command, tmp_path / "log", environment=environment, cwd=tmp_path)


@pytest.mark.parametrize("group", [True, False])
def test_ctrl_c_interrupts_running_items_and_starts_no_others(client, tmp_path, group):
    with client() as command:
        until(lambda: len(list((tmp_path / "files").iterdir())) == 2, "two files")
        assert command.interrupt(group=group) == (130, [])
    assert {file.suffix for file in (tmp_path / "files").iterdir()} == {".gone"}
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_ctrl_c_while_processes_start_is_silent(client):
    with client() as command:
        command.wait_for("started")
        until(psutil.Process(command.process.pid).children, "a process")
        assert command.interrupt(group=True) == (130, [])


def finish_or_write_forever(file: Path) -> None:
    if file.name != "0":
        write_forever(file)
    until(file.with_name("1").exists, "the other file")


def test_the_end_of_the_iteration_interrupts_running_items(tmp_path):
    results = Cluster(workers=2).map_unordered(
        finish_or_write_forever, [tmp_path / name for name in "01"], title="write"
    )
    assert next(results) == (0, None)
    results.close()
    assert [file.name for file in tmp_path.iterdir()] == ["1.gone"]


def test_threads_complete_running_items(tmp_path):
    def touch(file: Path) -> None:
        file.touch()

    results = Cluster("threads", workers=1).map_unordered(
        touch, [tmp_path / name for name in "01"], title="touch"
    )
    next(results)
    results.close()
    assert (tmp_path / "0").exists()


def test_processes_end_with_a_killed_parent(tmp_path):
    code = (
        "import sys; from pathlib import Path; from glioseg.compute import Cluster;"
        " from tests.helpers.clusters import stay;"
        " Cluster(workers=1).map(stay, [Path(sys.argv[1])], title='stay')"
    )
    mark = tmp_path / "mark"
    with running([sys.executable, "-c", code, str(mark)], tmp_path / "log", {}) as parent:
        until(lambda: mark.exists() and mark.read_text(), "a worker that stays")
        stat = Path("/proc", mark.read_text(), "stat")
        assert stat.exists()
        parent.kill()
        until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z", "its end")


def test_a_killed_process_is_a_cluster_error():
    with pytest.raises(ClusterError, match="count: a worker process was killed"):
        LOCAL.map(os._exit, [9], title="count")
