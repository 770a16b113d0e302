"""Tasks on a Dask worker: threads, cancellation, the workspace and the working directory."""

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from glioseg.compute import Cluster, ClusterError
from glioseg.compute.dask_worker import Workspace, task_is_wanted, worker_threads, working_directory
from glioseg.models.networks.hardware import thread_variables
from tests.helpers.clusters import scheduler, where, worker


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A worker with a GPU and three threads, and one with one thread."""
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(folder))
        large = ["--nthreads", "3", "--resources", "GPU=1"]
        for name, words in {"large": large, "small": []}.items():
            stack.enter_context(worker(address, folder / f"{name}.log", words=words))
        cluster = Cluster(address)
        while cluster.size < 2:
            pass
        yield cluster


def worker_state(_: object) -> tuple[int | None, bool, dict[str, str]]:
    where(_)  # long enough for another worker to take part
    return worker_threads(), task_is_wanted(), thread_variables()


def test_a_task_reads_the_threads_of_its_worker(cluster):
    found = cluster.map(worker_state, range(12), title="state")
    assert {threads for threads, _, _ in found} == {1, 3}
    assert all(wanted for _, wanted, _ in found)
    for threads, _, variables in found:
        assert set(variables.values()) == {str(threads)}


def test_gpu_items_use_only_the_worker_with_a_gpu(cluster):
    assert len({process for _, process in cluster.map(where, range(12), title="any")}) == 2
    assert {threads for threads, _, _ in cluster.map(worker_state, range(6), title="network", gpu=True)} == {
        3
    }


def test_outside_of_workers_there_is_no_state():
    assert (worker_threads(), task_is_wanted(), thread_variables()) == (None, True, {})


def test_a_worker_without_the_project_is_named(address, tmp_path, monkeypatch):
    @contextmanager
    def other_folder():
        yield Workspace(tmp_path, "no such marker", "any")

    monkeypatch.setattr("glioseg.compute.dask.publish_workspace", other_folder)
    with pytest.raises(ClusterError, match=f"^worker on .*: expected the project's folder at {tmp_path}"):
        Cluster(address).map(abs, [1], title="count")


def test_a_worker_with_other_code_is_named(tmp_path):
    marker = tmp_path / "marker"
    marker.touch()
    with pytest.raises(ClusterError, match=r"^worker on .*: expected glioseg 123, got [0-9a-f]{12}; install"):
        Workspace(tmp_path, marker.name, "123").check()


def test_tasks_of_two_projects_take_turns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()

    def is_current(folder: Path) -> bool:
        with working_directory(folder):
            time.sleep(0.01)
            return Path.cwd() == folder

    assert all(Cluster("threads", workers=4).map(is_current, [one, two] * 10, title="check"))
