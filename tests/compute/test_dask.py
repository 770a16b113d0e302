"""Work on a Dask cluster: batches, repeated items, cancellation, errors of machines, and Slurm jobs.

Slurm is not installed: the job script is checked, and stand-ins for its commands run it.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from distributed.comm import CommClosedError

from glioseg.compute import Cluster, ClusterError
from glioseg.compute.dask import connect_to, slurm_cluster
from tests.helpers.clusters import (
    SETTINGS,
    die,
    die_once,
    running,
    scheduler,
    until,
    where,
    worker,
)
from tests.helpers.waiting import TIMEOUT_S

OPTIONS = {
    "queue": "long",
    "cores": 2,
    "processes": 2,
    "memory": "8GB",
    "walltime": "02:00:00",
    "account": "brains",
    "job_extra_directives": ["--gres=gpu:1"],
}
SBATCH = """#!/bin/sh
[ "$1" = --test-only ] && exit
cp "$1" job.sh
setsid sh job.sh > worker.log 2>&1 &
echo $! >> started
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -9 -- "-$1"
echo "$1" >> ended
"""
CLIENT = f"""
from glioseg.compute import Cluster
from tests.helpers.clusters import where
slurm = Cluster("slurm", workers=2, slurm={OPTIONS})
print(slurm.map(abs, [-3, 2, -1], title="count"))
print(len({{process for _, process in slurm.map(where, range(40), title="where")}}))
"""


def test_items_are_submitted_in_batches(address, monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask.BATCH", 4)
    for count in (3, 4, 8, 9, 27):
        assert Cluster(address).map(abs, range(-count, 0), title="count") == list(range(count, 0, -1))


def test_a_lost_scheduler_is_a_cluster_error(tmp_path):
    with scheduler(tmp_path) as address, worker(address, tmp_path / "worker.log"):
        results = Cluster(address).map_unordered(where, range(100), title="count")
        next(results)
        os.kill(int((tmp_path / "scheduler.pid").read_text()), signal.SIGKILL)
        with pytest.raises(ClusterError, match=r"^count: the scheduler was lost"):
            list(results)


def test_ctrl_c_cancels_items_that_have_not_started(address, tmp_path):
    marks = [tmp_path / str(number) for number in range(1, 31)]
    code = (
        "import sys; from pathlib import Path; from glioseg.compute import Cluster;"
        " from tests.helpers.clusters import fail_at_zero;"
        f" Cluster('{address}').map(fail_at_zero, [Path(name) for name in sys.argv[1:]], title='mark')"
    )
    with running([sys.executable, "-c", code, *map(str, marks)], tmp_path / "log", {}) as client:
        until(marks[0].exists, "the first mark")
        client.send_signal(signal.SIGINT)
        client.wait(TIMEOUT_S)
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
    time.sleep(1)
    done = sum(mark.exists() for mark in marks)
    time.sleep(1)
    assert done == sum(mark.exists() for mark in marks) < len(marks)


def test_two_workers_share_the_items(address):
    assert len({process for _, process in Cluster(address).map(where, range(40), title="where")}) == 2


def test_gpu_items_run_only_on_workers_with_a_gpu(address, tmp_path):
    log = tmp_path / "gpu.log"
    with worker(address, log, words=["--resources", "GPU=1", "--nthreads", "4", "--no-nanny"]) as gpu:
        until(lambda: "Registered to" in log.read_text(), "a worker with a GPU")
        found = Cluster(address).map(where, range(8), title="where", gpu=True)
    assert {process for _, process in found} == {gpu.pid}


def test_the_item_of_a_killed_worker_is_repeated(address, tmp_path):
    marks = [tmp_path / name for name in "abcd"]
    for mark in marks[1:]:
        mark.touch()
    assert Cluster(address).map(die_once, marks, title="die") == ["a", "b", "c", "d"]


def test_an_item_that_kills_each_worker_is_a_cluster_error(address):
    with pytest.raises(ClusterError, match=r"^die: a case ended every worker that tried it: "):
        Cluster(address).map(die, [1], title="die")


def test_an_address_without_scheduler_is_a_cluster_error(monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask.WAIT_S", 1)
    with pytest.raises(
        ClusterError, match=r"^tcp://127\.0\.0\.1:9: expected a Dask scheduler, none answered in 1 s$"
    ):
        Cluster("tcp://127.0.0.1:9").map(abs, [1], title="count")


def test_a_broken_connection_is_a_cluster_error(address):
    message = r"^the connection to the scheduler was lost: closed$"
    with pytest.raises(ClusterError, match=message), connect_to(address):
        raise CommClosedError("closed")


def test_a_scheduler_without_workers_is_a_cluster_error(tmp_path, monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask.WAIT_S", 1)
    with scheduler(tmp_path) as address, pytest.raises(ClusterError) as error:
        Cluster(address).map(abs, [1], title="count")
    assert (
        str(error.value)
        == f"{address}: expected workers, none came in 1 s; start some: dask worker {address}"
    )


@pytest.fixture
def without_glioseg(tmp_path):
    """Environment variables of a machine without glioseg."""
    package = tmp_path / "bare" / "glioseg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')")
    return {"PYTHONPATH": os.pathsep.join([str(package.parent), SETTINGS["PYTHONPATH"]])}


def test_a_scheduler_without_glioseg_is_named(tmp_path, without_glioseg):
    with (
        scheduler(tmp_path, settings=without_glioseg) as address,
        worker(address, tmp_path / "worker.log"),
        pytest.raises(
            ClusterError, match=r"^scheduler: expected glioseg installed there too, got: not here$"
        ),
    ):
        Cluster(address).map(abs, [1], title="count")


def test_a_worker_without_glioseg_is_named(tmp_path, without_glioseg):
    message = r"^worker tcp://127\.0\.0\.1:\d+: expected glioseg installed there"
    with (
        scheduler(tmp_path) as address,
        worker(address, tmp_path / "worker.log", settings=without_glioseg),
        pytest.raises(ClusterError, match=message),
    ):
        Cluster(address).map(abs, [1], title="count")


def test_the_job_script_contains_the_options():
    with slurm_cluster(OPTIONS) as cluster:
        lines = cluster.job_script().splitlines()
    assert [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")] == [
        "-J dask-worker",
        "-p long",
        "-A brains",
        "-n 1",
        "--cpus-per-task=2",
        "--mem=8G",
        "-t 02:00:00",
        "--gres=gpu:1",
    ]
    (command,) = [line for line in lines if "dask_worker" in line or "dask worker" in line]
    assert command.startswith(sys.executable)
    assert "--nthreads 1 " in command
    assert "--nworkers 2 " in command


def test_workers_are_requested_once_and_cancelled_at_the_end(tmp_path):
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    path = {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]])}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        cwd=tmp_path,
        env=SETTINGS | path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "worker.log").read_text()
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("Dask's", "count", "where"))]
    assert lines == ["requested 2 workers from Slurm: waiting for the first", "[3, 2, 1]", "2"]
    (job,) = (tmp_path / "started").read_text().split()
    assert (tmp_path / "ended").read_text().split() == [job]


def test_a_machine_without_slurm_is_a_cluster_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^compute\.cluster: slurm expects the command `sbatch`"):
        Cluster("slurm", workers=1, slurm=OPTIONS).map(abs, [1], title="count")


def test_a_job_that_slurm_rejects_is_one_line(monkeypatch, tmp_path):
    script = """#!/bin/sh
echo "sbatch: error: invalid partition specified: long" >&2
exit 1
"""
    (tmp_path / "sbatch").write_text(script)
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    with pytest.raises(ClusterError) as error:
        Cluster("slurm", workers=1, slurm=OPTIONS).map(abs, [1], title="count")
    assert str(error.value) == "compute.slurm: sbatch: error: invalid partition specified: long"


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "You must specify how much cores and memory"), ({**OPTIONS, "qeue": "long"}, "qeue")],
)
def test_invalid_options_are_one_line(options, message):
    with pytest.raises(ClusterError) as error:
        slurm_cluster(options)
    assert str(error.value).startswith("compute.slurm: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
