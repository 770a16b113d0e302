import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from glioseg.core.nifti import decode_volume
from glioseg.serving.app import sample_file
from tests.helpers.uploads import error_of, upload_files

PATHS = {"/segment": "post", "/metrics": "get", "/sample/t1.nii.gz": "get", f"/requests/{'0' * 32}": "get"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"}]
)
def test_protected_routes_require_the_token(make_client, path, headers):
    response = make_client(token="secret").request(PATHS[path], path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error_of(response)["code"] == "unauthorised"


def test_the_token_is_accepted_and_states_need_none(make_client, scan):
    client = make_client(token="secret")
    headers = {"Authorization": "Bearer secret"}
    assert client.post("/segment", files=upload_files(scan), headers=headers).status_code == 200
    for path in ("/healthz", "/readyz", "/docs/", "/openapi.json", "/file-names"):
        assert client.get(path).status_code == 200


def test_healthz_and_readyz(client, reloader):
    assert client.get("/healthz").text == "ok\n"
    ready = client.get("/readyz").json()
    assert (ready["model"], ready["version"]) == ("models", reloader.current.version)
    assert (ready["problem"], ready["requests"]) == (None, 0)
    client.queue.closed = True
    response = client.get("/readyz")
    assert (response.status_code, error_of(response)["code"]) == (503, "stopping")


def wait_until(condition):
    while not condition():
        time.sleep(0.005)


def test_a_full_queue_is_503_and_each_request_has_a_position(make_client, blocked, scan):
    client = make_client(reloader=blocked, capacity=2)
    names = ["a" * 32, "b" * 32]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(
            client.post, "/segment", files=upload_files(scan), headers={"X-Request-ID": names[0]}
        )
        blocked.predictor.begun.wait()
        second = pool.submit(
            client.post, "/segment", files=upload_files(scan), headers={"X-Request-ID": names[1]}
        )
        wait_until(lambda: client.queue.ahead(names[1]) == 1)
        assert client.get(f"/requests/{names[0]}").json() == {"state": "running"}
        assert client.get(f"/requests/{names[1]}").json() == {"state": "waiting", "ahead": 1}
        assert client.get(f"/requests/{'c' * 32}").json() == {"state": "unknown"}
        refused = client.post("/segment", files=upload_files(scan))
        assert (refused.status_code, error_of(refused)["code"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        assert "glioseg_queue_length 2.0" in client.get("/metrics").text
        blocked.predictor.go.set()
        assert [response.result().status_code for response in (first, second)] == [200, 200]
        assert first.result().headers["X-Request-ID"] == names[0]


def test_ten_requests_with_one_id_are_each_completed_or_rejected(make_client, blocked, scan):
    client, name = make_client(reloader=blocked, capacity=3), "d" * 32
    with ThreadPoolExecutor(10) as pool:
        given = {"files": upload_files(scan), "headers": {"X-Request-ID": name}}
        posted = [pool.submit(client.post, "/segment", **given) for _ in range(10)]
        wait_until(lambda: sum(response.done() for response in posted) == 7)
        blocked.predictor.go.set()
        responses = [response.result() for response in posted]
    assert sorted(response.status_code for response in responses) == [200] * 3 + [503] * 7
    assert {error_of(response)["code"] for response in responses if response.status_code == 503} == {"busy"}
    assert {response.headers["X-Request-ID"] for response in responses} == {name}
    assert client.get(f"/requests/{name}").json() == {"state": "unknown"}


def test_a_request_that_times_out_is_504(make_client, blocked, scan):
    response = make_client(reloader=blocked, timeout_s=0.2).post("/segment", files=upload_files(scan))
    assert (response.status_code, error_of(response)["code"]) == (504, "timeout")


def test_the_documentation_needs_no_network(client):
    page = client.get("/docs").text
    assert "http" not in page
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert "../openapi.json" in client.get("/docs/start.js").text


def test_files_outside_the_page_are_not_served(client):
    for path in ("/docs/../app.py", "/docs/%2e%2e/app.py", "/page/..%2fapp.py"):
        assert client.get(path).status_code == 404


def test_the_sample_case_has_the_shape_and_labels_of_brats():
    volume = decode_volume(sample_file("seg"), name="seg")
    assert volume.grid.shape == (240, 240, 155)
    assert set(np.unique(volume.data)) <= {0, 1, 2, 4}
