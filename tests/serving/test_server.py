"""The service in its own process: reloaded, killed, restarted, stopped. The tests depend on their order."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import httpx
import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.mlops.tracking.mlflow_runs import connect
from tests.helpers.servers import free_port
from tests.helpers.waiting import TIMEOUT_S, until

AT_ONCE = 8


class Supervisor(Thread):
    """Restarts the service when it fails, as systemd does with `Restart=on-failure`."""

    def __init__(self, root, port, log):
        super().__init__(daemon=True)
        words = ["serve", "--port", str(port), "--queue", str(2 * AT_ONCE)]
        self._words = [sys.executable, "-c", "from glioseg.cli import app; app()", *words]
        self._environment = os.environ | {"DVC_ROOT": str(root), "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._log = log
        self.codes = []
        self._spawn()
        self.start()

    def _spawn(self):
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._words, env=self._environment, stdout=log, stderr=log)

    def run(self):
        while self.codes.append(self.process.wait()) or self.codes[-1] == -signal.SIGKILL:
            self._spawn()


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def supervisor(registered, port, tmp_path_factory):
    supervisor = Supervisor(registered.root, port, tmp_path_factory.mktemp("service") / "log")
    yield supervisor
    if supervisor.process.poll() is None:
        supervisor.process.terminate()
    supervisor.join(TIMEOUT_S)


@pytest.fixture(scope="module")
def http(port, supervisor):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S) as http:
        wait_until_ready(http, supervisor)
        yield http


def wait_until_ready(http, supervisor):
    until(lambda: supervisor.process.poll() is not None or readiness(http), "a service that is ready")
    assert supervisor.process.poll() is None, supervisor._log.read_text()


def readiness(http):
    try:
        return http.get("/readyz").json()
    except httpx.TransportError:
        return None


@pytest.fixture(scope="module")
def mlflow_client(registered):
    client = connect(registered)
    yield client
    client.set_registered_model_alias("glioseg", "champion", "1")


def post(http, scan, **given):
    content = encode_volume(scan)
    return http.post("/segment", files=dict.fromkeys(MODALITIES, ("x", content)), **given)


def test_a_moved_alias_is_followed_without_losing_a_request(http, mlflow_client, scan):
    assert http.get("/readyz").json()["version"] == "1"
    source = mlflow_client.get_model_version("glioseg", "1").source
    assert mlflow_client.create_model_version("glioseg", source).version in (2, "2")

    def post_until_version_2(_):
        versions = []
        while versions[-3:] != ["2"] * 3:
            response = post(http, scan)
            assert response.status_code == 200, response.text
            versions.append(response.json()["version"])
            if len(versions) == 2:
                started.set()
        return versions

    started = Event()
    with ThreadPoolExecutor(4) as pool:
        posted = [pool.submit(post_until_version_2, number) for number in range(4)]
        assert started.wait(TIMEOUT_S)
        mlflow_client.set_registered_model_alias("glioseg", "champion", "2")
        seen = [responses.result() for responses in posted]
    for versions in seen:
        assert versions == sorted(versions)  # never back to the old one
    assert any("1" in versions for versions in seen)


def test_the_old_version_stays_in_use_if_the_new_one_cannot_be_loaded(http, mlflow_client, scan, tmp_path):
    mlflow_client.create_model_version("glioseg", tmp_path.as_uri())
    mlflow_client.set_registered_model_alias("glioseg", "champion", "3")
    problem = until(lambda: http.get("/readyz").json()["problem"], "a problem")
    assert problem.startswith("models:/glioseg/3: ")
    assert post(http, scan).json()["version"] == "2"
    assert "glioseg_model_stale 1.0" in http.get("/metrics").text
    mlflow_client.set_registered_model_alias("glioseg", "champion", "2")
    until(lambda: http.get("/readyz").json()["problem"] is None, "no problem")


def test_eight_concurrent_clients_lose_no_request(http, scan):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        responses = list(pool.map(lambda _: post(http, scan), range(5 * AT_ONCE)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["segmentation"] for response in responses}) == 1


def test_clients_that_retry_lose_nothing_when_the_service_is_killed(http, supervisor, scan):
    def post_with_retries(number):
        while True:
            try:
                response = post(http, scan)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if response.status_code == 200:
                done.append(number)
                return response.json()["segmentation"]
            assert response.status_code == 503
            time.sleep(int(response.headers["Retry-After"]))

    done: list[int] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        posted = [pool.submit(post_with_retries, number) for number in range(5 * AT_ONCE)]
        until(lambda: len(done) > AT_ONCE, "responses")
        supervisor.process.kill()
        responses = [response.result(timeout=TIMEOUT_S) for response in posted]
    assert supervisor.codes == [-signal.SIGKILL]
    assert len(responses) == 5 * AT_ONCE
    assert len(set(responses)) == 1


def test_after_sigterm_it_completes_accepted_requests_and_rejects_new_ones(http, supervisor):
    wait_until_ready(http, supervisor)
    data = np.random.default_rng(0).integers(1, 500, (120, 120, 80), np.int16)
    data[:12] = 0  # background
    large = Volume(data, Grid(data.shape, np.diag([1.0, 1.0, 2.0, 1.0])))
    names = [str(number) * 32 for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        posted = [pool.submit(post, http, large, headers={"X-Request-ID": name}) for name in names]
        until(lambda: http.get("/readyz").json()["requests"] == len(names), "requests", every_s=0.02)
        supervisor.process.terminate()
        until(lambda: http.get("/readyz").status_code == 503, "its end", every_s=0.02)
        refused = http.post("/segment", files={"t1": b"x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
        assert {response.result().status_code for response in posted} == {200}
    supervisor.join(TIMEOUT_S)
    assert supervisor.codes == [-signal.SIGKILL, 0]


def test_the_log_has_a_line_for_each_request_and_no_traceback(supervisor):
    log = supervisor._log.read_text()
    assert "Traceback" not in log
    assert log.count(" /segment 200 ") > 5 * AT_ONCE
