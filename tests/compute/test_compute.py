"""All kinds of clusters give the same results and raise the same errors."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glioseg.compute import CLUSTER_VARIABLE, Cluster, choose_cluster
from glioseg.core.extras import MissingPackageError
from glioseg.params.sections import Compute
from glioseg.params.settings_file import ParamsError
from tests.helpers.clusters import (
    SETTINGS,
    fail_at_zero,
    where,
)
from tests.helpers.projects import environment, make_project


@pytest.fixture(params=["processes", "threads", "dask"])
def cluster(request):
    if request.param == "dask":
        return Cluster(request.getfixturevalue("address"))
    return Cluster(request.param, workers=2)


def test_results_keep_the_order_of_the_items(cluster):
    assert cluster.map(abs, [-3, 2, -1], title="count") == [3, 2, 1]


def test_map_unordered_yields_the_index_of_each_item(cluster):
    assert sorted(cluster.map_unordered(abs, [-3, 2, -1], title="count")) == [(0, 3), (1, 2), (2, 1)]


def test_without_items_no_cluster_is_contacted():
    assert Cluster("tcp://unused:1").map(abs, [], title="count") == []


def test_an_error_is_raised_and_cancels_the_other_items(cluster, tmp_path):
    marks = [tmp_path / str(number) for number in range(30)]
    with pytest.raises(ValueError, match=r"^0: broken$"):
        cluster.map(fail_at_zero, marks, title="fail")
    time.sleep(1)
    assert sum(mark.exists() for mark in marks) < 20


def test_items_run_in_the_folder_of_the_caller(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {folder for folder, _ in cluster.map(where, range(4), title="where")}
    assert folders == {str(tmp_path)}


def test_without_dask_the_error_names_the_extra_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "glioseg.compute.dask", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)  # to import it is an error
    message = (
        "compute.cluster: tcp://head:1: needs packages that are not installed (distributed): pip install"
    )
    with pytest.raises(MissingPackageError, match=f"^{re.escape(message)} 'glioseg\\[cluster\\]'$"):
        Cluster("tcp://head:1").map(abs, [1], title="count")


def test_the_environment_variable_overrides_params(monkeypatch):
    compute = Compute(cluster="threads", workers=3)
    assert choose_cluster(compute) == Cluster("threads", 3)
    monkeypatch.setenv(CLUSTER_VARIABLE, "tcp://head:8786")
    assert choose_cluster(compute) == Cluster("tcp://head:8786", 3)
    monkeypatch.setenv(CLUSTER_VARIABLE, "head")
    with pytest.raises(
        ParamsError, match=r"^GLIOSEG_CLUSTER: cluster: expected processes, threads, slurm or a"
    ):
        choose_cluster(compute)


DASK_FILES = ("dask.py", "dask_jobqueue.py", "distributed.py")
NO_DASK = "raise ImportError('stages on this machine must not import Dask')"
OUTPUTS = ("data/raw", "data/cropped", "reports/validation")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small project whose data stages ran in local processes without Dask."""
    home = make_project(tmp_path_factory.mktemp("prepared") / "home", cases=3)
    for name in DASK_FILES:
        (home / "src" / name).write_text(NO_DASK)
    run_stages(home)
    return home


def run_stages(home: Path, **settings: str) -> None:
    """Run the stages that process cases, without DVC."""
    for words in ("acquire.py", "validate.py raw", "crop.py"):
        script, *rest = words.split()
        command = [sys.executable, f"pipelines/{script}", *rest]
        done = subprocess.run(
            command, cwd=home, env=environment(home) | settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def contents(home: Path) -> dict[str, bytes]:
    """All output files of the stages."""
    files = [file for folder in OUTPUTS for file in (home / folder).rglob("*") if file.is_file()]
    return {str(file.relative_to(home)): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", ["threads", "dask"])
def test_stages_write_equal_bytes_on_all_kinds_of_clusters(kind, prepared, address, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    for name in DASK_FILES:
        (home / "src" / name).unlink()
    for output in ("data", "reports"):
        shutil.rmtree(home / output)
    dask = {"PYTHONPATH": SETTINGS["PYTHONPATH"]}
    run_stages(home, **dask, GLIOSEG_CLUSTER=address if kind == "dask" else kind)
    assert len(contents(home)) > 3 * (5 + 5)
    assert contents(home) == contents(prepared)
