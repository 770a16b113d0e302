"""Workers in Slurm jobs, without Slurm: the job script is checked, and stand-ins for its commands run it."""

import os
import subprocess
import sys

import pytest

from glioseg.compute import Cluster, ClusterError
from glioseg.compute.slurm import slurm_cluster
from tests.helpers.clusters import SETTINGS

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
