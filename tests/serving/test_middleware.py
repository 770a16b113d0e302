import logging
import re

import pytest

from tests.helpers.uploads import error_of, upload_files

INVALID_IDS = [
    "a" * 31,
    "a" * 33,
    "A" * 32,
    "a" * 100_000,
    "a" * 31 + "\n",
    f"{'a' * 32}\r\nX-Other: b",
    "../" * 10,
]


@pytest.mark.parametrize("name", INVALID_IDS, ids=range(len(INVALID_IDS)))
def test_an_invalid_request_id_is_neither_returned_nor_logged(client, caplog, name):
    with caplog.at_level(logging.INFO, "glioseg.serving"):
        response = client.get("/healthz", headers={"X-Request-ID": name})
    given = response.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", given)
    assert given != name.strip()
    assert "X-Other" not in response.headers
    assert [record.getMessage().split()[0] for record in caplog.records] == [given]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_an_internal_error_shows_no_traceback_and_logs_no_message(make_client, blocked, scan, caplog, kind):
    def fail(images):
        raise kind("what the patient's header says")

    blocked.predictor.predict = fail
    with caplog.at_level(logging.INFO, "glioseg"):
        response = make_client(reloader=blocked).post("/segment", files=upload_files(scan))
    assert (response.status_code, error_of(response)["code"]) == (500, "internal")
    assert "patient" not in response.text + caplog.text
    assert f"{kind.__name__} at " in caplog.text


def test_the_log_has_one_line_per_request_and_nothing_from_the_client(client, scan, caplog):
    with caplog.at_level(logging.INFO, "glioseg.serving"):
        client.post("/segment?name=patient", files=upload_files(scan, t1=b"patient"))
        client.get("/patient.nii.gz", headers={"X-Request-ID": "patient"})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert " /segment 422 " in lines[0]
    assert " other 404 " in lines[1]
    assert "patient" not in "".join(lines)


def test_every_response_has_security_headers(client):
    for path in ("/healthz", "/nowhere", "/docs/swagger-ui.css"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"
