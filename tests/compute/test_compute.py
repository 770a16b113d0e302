"""Work over cases comes out the same wherever it is done, and what goes wrong is one clear line."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from distributed.comm import CommClosedError

from glioseg.compute import CLUSTER, LOCAL, Cluster, ClusterError, choose_cluster
from glioseg.compute.dask_client import connect_to
from glioseg.compute.workspace import Shared, inside
from glioseg.core.settings_file import ParamsError
from glioseg.params.compute import Compute
from tests.helpers.clusters import (
    SETTINGS,
    die,
    die_once,
    fail_at_zero,
    running,
    scheduler,
    until,
    where,
    worker,
)
from tests.helpers.projects import environment, make_project
from tests.helpers.waiting import LATEST_S

LESS_PATIENT = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A scheduler with two workers of one thread each; the one that a task kills starts again."""
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        found = stack.enter_context(scheduler(folder, settings=LESS_PATIENT))
        for name in ("one", "two"):
            stack.enter_context(worker(found, folder / f"{name}.log"))
        yield found


@pytest.fixture(params=["processes", "threads", "dask"])
def cluster(request):
    if request.param == "dask":
        return Cluster(request.getfixturevalue("address"))
    return Cluster(request.param, workers=2)


def test_results_keep_the_order_of_the_items(cluster):
    assert cluster.map(abs, [-3, 2, -1], title="count") == [3, 2, 1]


def test_results_come_with_the_place_of_their_item(cluster):
    assert sorted(cluster.each(abs, [-3, 2, -1], title="count")) == [(0, 3), (1, 2), (2, 1)]


def test_many_items_are_sent_in_batches(address, monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask.BATCH", 4)
    for count in (3, 4, 8, 9, 27):
        assert Cluster(address).map(abs, range(-count, 0), title="count") == list(range(count, 0, -1))


def test_a_lost_scheduler_is_one_clear_error(tmp_path):
    with scheduler(tmp_path) as found, worker(found, tmp_path / "worker.log"):
        results = Cluster(found).each(where, range(100), title="count")
        next(results)
        os.kill(int((tmp_path / "scheduler.pid").read_text()), signal.SIGKILL)
        with pytest.raises(ClusterError, match=r"^count: the scheduler was lost"):
            list(results)


def test_no_item_is_no_work_and_no_cluster():
    assert Cluster("tcp://nobody:1").map(abs, [], title="count") == []


def test_what_a_worker_raises_comes_back_and_the_rest_is_dropped(cluster, tmp_path):
    marks = [tmp_path / str(number) for number in range(30)]
    with pytest.raises(ValueError, match=r"^0: broken$"):
        cluster.map(fail_at_zero, marks, title="fail")
    time.sleep(1)
    assert sum(mark.exists() for mark in marks) < 20


def test_ctrl_c_drops_what_has_not_begun(address, tmp_path):
    marks = [tmp_path / str(number) for number in range(1, 31)]
    ask = (
        "import sys; from pathlib import Path; from glioseg.compute import Cluster;"
        " from tests.helpers.clusters import fail_at_zero;"
        f" Cluster('{address}').map(fail_at_zero, [Path(name) for name in sys.argv[1:]], title='mark')"
    )
    with running([sys.executable, "-c", ask, *map(str, marks)], tmp_path / "log", {}) as asked:
        until(marks[0].exists, "the first mark")
        asked.send_signal(signal.SIGINT)
        asked.wait(LATEST_S)
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
    time.sleep(1)
    done = sum(mark.exists() for mark in marks)
    time.sleep(1)
    assert done == sum(mark.exists() for mark in marks) < len(marks)


def test_processes_of_this_machine_end_when_who_asked_is_killed(tmp_path):
    ask = (
        "import sys; from pathlib import Path; from glioseg.compute import Cluster;"
        " from tests.helpers.clusters import stay;"
        " Cluster(workers=1).map(stay, [Path(sys.argv[1])], title='stay')"
    )
    mark = tmp_path / "mark"
    with running([sys.executable, "-c", ask, str(mark)], tmp_path / "log", {}) as asked:
        until(lambda: mark.exists() and mark.read_text(), "a worker that stays")
        there = Path("/proc", mark.read_text(), "stat")
        assert there.exists()
        asked.kill()
        until(lambda: not there.exists() or there.read_text().rpartition(")")[2].split()[0] == "Z", "its end")


def test_work_is_done_in_the_folder_of_who_asks(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {folder for folder, _ in cluster.map(where, range(4), title="look")}
    assert folders == {str(tmp_path)}


def test_two_dask_workers_share_the_work(address):
    assert len({process for _, process in Cluster(address).map(where, range(40), title="look")}) == 2


def test_work_for_gpus_goes_to_workers_that_have_one(address, tmp_path):
    log = tmp_path / "gpu.log"
    with worker(address, log, words=["--resources", "GPU=1", "--nthreads", "4", "--no-nanny"]) as gpu:
        until(lambda: "Registered to" in log.read_text(), "a worker with a GPU")
        found = Cluster(address).map(where, range(8), title="look", gpu=True)
    assert {process for _, process in found} == {gpu.pid}


def test_a_killed_process_is_one_clear_error():
    with pytest.raises(ClusterError, match="count: a worker process was killed"):
        LOCAL.map(os._exit, [9], title="count")


def test_a_killed_worker_s_case_is_done_again(address, tmp_path):
    marks = [tmp_path / name for name in "abcd"]
    for mark in marks[1:]:
        mark.touch()
    assert Cluster(address).map(die_once, marks, title="die") == ["a", "b", "c", "d"]


def test_a_case_that_kills_every_worker_is_one_clear_error(address):
    with pytest.raises(ClusterError, match=r"^die: a case ended every worker that tried it: "):
        Cluster(address).map(die, [1], title="die")


def test_without_dask_installed_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "glioseg.compute.dask", None)
    with pytest.raises(ClusterError, match=r"^compute\.cluster: tcp://head:1 expects Dask \(pip install"):
        Cluster("tcp://head:1").map(abs, [1], title="count")


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask_client.WAIT_S", 1)
    with pytest.raises(
        ClusterError, match=r"^tcp://127\.0\.0\.1:9: expected a Dask scheduler, none answered in 1 s$"
    ):
        Cluster("tcp://127.0.0.1:9").map(abs, [1], title="count")


def test_a_connection_that_breaks_is_the_cluster_s_fault(address):
    lost = r"^the connection to the scheduler was lost: closed$"
    with pytest.raises(ClusterError, match=lost), connect_to(address):
        raise CommClosedError("closed")


def test_no_worker_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("glioseg.compute.dask_client.WAIT_S", 1)
    with scheduler(tmp_path) as alone, pytest.raises(ClusterError) as error:
        Cluster(alone).map(abs, [1], title="count")
    assert str(error.value) == f"{alone}: expected workers, none came in 1 s; start some: dask worker {alone}"


def test_a_worker_without_the_project_is_named(address, tmp_path, monkeypatch):
    @contextmanager
    def elsewhere():
        yield Shared(tmp_path, "no such mark", "any")

    monkeypatch.setattr("glioseg.compute.dask.share_folder", elsewhere)
    with pytest.raises(ClusterError, match=f"^worker on .*: expected the project's folder at {tmp_path}"):
        Cluster(address).map(abs, [1], title="count")


def test_a_worker_with_other_code_is_named(tmp_path):
    mark = tmp_path / "mark"
    mark.touch()
    with pytest.raises(ClusterError, match=r"^worker on .*: expected glioseg 123, got [0-9a-f]{12}; install"):
        Shared(tmp_path, mark.name, "123").check()


@pytest.fixture
def bare(tmp_path):
    """Settings of a machine without glioseg."""
    package = tmp_path / "bare" / "glioseg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')")
    return {"PYTHONPATH": os.pathsep.join([str(package.parent), SETTINGS["PYTHONPATH"]])}


def test_a_scheduler_without_glioseg_is_named(tmp_path, bare):
    with (
        scheduler(tmp_path, settings=bare) as found,
        worker(found, tmp_path / "worker.log"),
        pytest.raises(
            ClusterError, match=r"^scheduler: expected glioseg installed there too, got: not here$"
        ),
    ):
        Cluster(found).map(abs, [1], title="count")


def test_a_worker_without_glioseg_is_named(tmp_path, bare):
    says = r"^worker tcp://127\.0\.0\.1:\d+: expected glioseg installed there"
    with (
        scheduler(tmp_path) as found,
        worker(found, tmp_path / "worker.log", settings=bare),
        pytest.raises(ClusterError, match=says),
    ):
        Cluster(found).map(abs, [1], title="count")


def test_tasks_of_two_projects_take_turns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()

    def look(folder: Path) -> bool:
        with inside(folder):
            time.sleep(0.01)
            return Path.cwd() == folder

    assert all(Cluster("threads", workers=4).map(look, [one, two] * 10, title="look"))


def test_the_environment_variable_takes_the_place_of_the_setting(monkeypatch):
    compute = Compute(cluster="threads", workers=3)
    assert choose_cluster(compute) == Cluster("threads", 3)
    monkeypatch.setenv(CLUSTER, "tcp://head:8786")
    assert choose_cluster(compute) == Cluster("tcp://head:8786", 3)
    monkeypatch.setenv(CLUSTER, "head")
    with pytest.raises(
        ParamsError, match=r"^GLIOSEG_CLUSTER: cluster: expected processes, threads, slurm or a"
    ):
        choose_cluster(compute)


NEVER_IMPORTED = ("dask.py", "dask_jobqueue.py", "distributed.py")
NEVER = "raise ImportError('no stage needs Dask where work is done on this machine')"
PREPARED = ("data/raw", "data/cropped", "reports/validation")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small project whose data stages ran in processes of this machine, with no Dask to import."""
    home = make_project(tmp_path_factory.mktemp("prepared") / "home", cases=3)
    for name in NEVER_IMPORTED:
        (home / "src" / name).write_text(NEVER)
    run_stages(home)
    return home


def run_stages(home: Path, **settings: str) -> None:
    """Run the stages of cases, without DVC."""
    for words in ("acquire.py", "validate.py raw", "crop.py"):
        script, *rest = words.split()
        command = [sys.executable, f"pipelines/{script}", *rest]
        done = subprocess.run(
            command, cwd=home, env=environment(home) | settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def contents(home: Path) -> dict[str, bytes]:
    """Every file that the stages leave."""
    files = [file for folder in PREPARED for file in (home / folder).rglob("*") if file.is_file()]
    return {str(file.relative_to(home)): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", ["threads", "dask"])
def test_stages_leave_the_same_bytes_wherever_cases_are_done(kind, prepared, address, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(prepared, home, ignore=shutil.ignore_patterns(*NEVER_IMPORTED))
    for made in ("data", "reports"):
        shutil.rmtree(home / made)
    dask = {"PYTHONPATH": SETTINGS["PYTHONPATH"]}
    run_stages(home, **dask, GLIOSEG_CLUSTER=address if kind == "dask" else kind)
    assert len(contents(home)) > 3 * (5 + 5)
    assert contents(home) == contents(prepared)
