"""What work can ask about its worker, and which workers get what needs a network."""

from contextlib import ExitStack

import pytest

from glioseg.compute import Cluster
from glioseg.compute.dask_worker import threads_here, wanted
from glioseg.models.networks.threads import training_threads
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


def asked(_: object) -> tuple[int | None, bool, dict[str, str]]:
    where(_)  # long enough for another worker to take part
    return threads_here(), wanted(), training_threads()


def test_a_worker_knows_its_threads_and_whether_it_is_waited_for(cluster):
    found = cluster.map(asked, range(12), title="ask")
    assert {threads for threads, _, _ in found} == {1, 3}
    assert all(still for _, still, _ in found)
    for threads, _, variables in found:
        assert set(variables.values()) == {str(threads)}


def test_networks_go_to_the_workers_with_a_gpu_alone(cluster):
    assert len({process for _, process in cluster.map(where, range(12), title="any")}) == 2
    assert {threads for threads, _, _ in cluster.map(asked, range(6), title="network", gpu=True)} == {3}


def test_elsewhere_there_is_no_worker_to_ask():
    assert (threads_here(), wanted(), training_threads()) == (None, True, {})
