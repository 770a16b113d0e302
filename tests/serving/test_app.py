import base64
import gzip
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS, Scheme, from_scheme, regions_from_labels, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, decode_volume, encode_volume
from glioseg.models.inference.predictor import load_model
from glioseg.serving.model_reloader import Follower
from glioseg.serving.sample_case import sample_file


@pytest.fixture(scope="module")
def expected(registered, scan):
    """What the network itself says: dense labels on the scan's own grid."""
    return load_model(registered.root / "models").answer(dict.fromkeys(MODALITIES, scan))


def files(scan, roles=MODALITIES, **changed):
    content = encode_volume(scan)
    given = dict.fromkeys(roles, ("patient.nii.gz", content))
    return given | {role: ("patient.nii.gz", other) for role, other in changed.items()}


def changed(scan, change, dtype=np.int16):
    data = scan.data.astype(dtype)
    change(data)
    return encode_volume(Volume(data, scan.grid))


def read(text):
    return decode_volume(base64.b64decode(text), name="answer")


def error(response):
    return response.json()["error"]


def test_the_answer_is_the_network_s_on_the_scan_s_own_grid(client, scan, expected):
    response = client.post("/segment", files=files(scan))
    assert response.status_code == 200
    answer = response.json()
    volume = read(answer["segmentation"])
    np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
    np.testing.assert_array_equal(from_scheme(volume.data, Scheme.BRATS2021), expected.labels)
    # A voxel is 1 x 1 x 2 mm = 0.002 ml.
    assert answer["volumes"]["WT"]["ml"] == pytest.approx(0.002 * (expected.labels > 0).sum())
    assert answer["volumes"] == {name: asdict(volume) for name, volume in expected.volumes.items()}
    assert answer["volumes"]["ET"]["level"] == 0.875
    brain = expected.entropy_bits[scan.data != 0]
    assert answer["entropy"]["mean_bits"] == pytest.approx(brain.mean(dtype=float), rel=1e-5)
    assert answer["confidence"] == pytest.approx(expected.confidence)
    assert answer["doubt"] == list(expected.doubt) != []
    assert (answer["model"], answer["missing"], answer["dice"]) == ("models", [], None)
    assert (answer["entropy_map"], answer["probabilities"], answer["grade_lgg"]) == (None, None, None)
    assert response.headers["X-Glioseg-Version"] == answer["version"]


def test_the_label_map_alone_for_who_accepts_gzip(client, scan, expected):
    response = client.post("/segment", files=files(scan), headers={"Accept": "application/gzip"})
    assert response.headers["Content-Type"] == "application/gzip"
    assert len(response.headers["X-Glioseg-Version"]) == 12
    volume = decode_volume(response.content, name="answer")
    np.testing.assert_array_equal(from_scheme(volume.data, Scheme.BRATS2021), expected.labels)


def test_gzip_or_not(client, scan):
    plain = dict.fromkeys(MODALITIES, ("x.nii", encode_volume(scan, compress=False)))
    one, other = (client.post("/segment", files=given).json() for given in (files(scan), plain))
    assert one["segmentation"] == other["segmentation"]


def test_what_is_asked_for_comes_too(client, scan, expected):
    wishes = {"scheme": "msd", "mirror": "true", "entropy": "true", "probabilities": "True"}
    answer = client.post("/segment", files=files(scan), data=wishes).json()
    # The network looks at each voxel alone: mirror images change nothing.
    np.testing.assert_array_equal(from_scheme(read(answer["segmentation"]).data, Scheme.MSD), expected.labels)
    np.testing.assert_allclose(read(answer["entropy_map"]).data, expected.entropy_bits, atol=1e-5)
    assert list(answer["probabilities"]) == list(REGIONS)
    for index, text in enumerate(answer["probabilities"].values()):
        np.testing.assert_allclose(
            read(text).data, expected.probabilities.on_grid()[..., index], atol=0.5 / 255 + 1e-6
        )


def test_modalities_may_be_missing(client, registered, scan):
    answer = client.post("/segment", files=files(scan, ("t1", "flair"))).json()
    assert answer["missing"] == ["t1ce", "t2"]
    fewer = load_model(registered.root / "models").segment({"t1": scan, "flair": scan})
    np.testing.assert_array_equal(from_scheme(read(answer["segmentation"]).data, Scheme.BRATS2021), fewer)


@pytest.mark.parametrize("scheme", [Scheme.BRATS2021, Scheme.BRATS2023])
def test_a_given_segmentation_is_scored_whatever_its_scheme(client, scan, expected, scheme):
    truth = expected.labels.copy()
    truth[: truth.shape[0] // 2] = 0
    seg = encode_volume(Volume(to_scheme(truth, scheme), scan.grid))
    dice = client.post("/segment", files=files(scan, seg=seg)).json()["dice"]
    one, other = regions_from_labels(truth), regions_from_labels(expected.labels)
    for index, region in enumerate(REGIONS):
        both = (one & other)[..., index].sum()
        assert dice[region] == pytest.approx(2 * both / (one[..., index].sum() + other[..., index].sum()))


def test_another_orientation_is_turned_and_put_back(client, scan, expected):
    affine = scan.grid.affine[:, [1, 0, 2, 3]]
    turned = Volume(np.ascontiguousarray(scan.data.transpose(1, 0, 2)), Grid((24, 20, 18), affine))
    answer = client.post("/segment", files=files(turned)).json()
    volume = read(answer["segmentation"])
    np.testing.assert_array_equal(volume.grid.affine, affine)
    labels = from_scheme(volume.data, Scheme.BRATS2021).transpose(1, 0, 2)
    np.testing.assert_array_equal(labels, expected.labels)


REFUSALS = {
    "no gzip": ("t1", lambda scan: b"\x1f\x8bx", "unreadable", "readable"),
    "no NIfTI": ("t2", lambda scan: b"no scan", "unreadable", "readable"),
    "no bytes": ("flair", lambda scan: b"", "unreadable", "readable"),
    "cut": ("flair", lambda scan: encode_volume(scan)[:-20], "unreadable", "readable"),
    "spacing": (
        "t1",
        lambda scan: encode_volume(Volume(scan.data, Grid(scan.grid.shape, np.eye(4)))),
        "contract",
        "spacing",
    ),
    "another shape": (
        "t2",
        lambda scan: encode_volume(Volume(scan.data[:-1], Grid((19, 24, 18), scan.grid.affine))),
        "contract",
        "same_shape",
    ),
    "another place": (
        "t1ce",
        lambda scan: encode_volume(
            Volume(scan.data, Grid(scan.grid.shape, scan.grid.affine + np.eye(4, k=3)))
        ),
        "contract",
        "affine",
    ),
    "NaN": (
        "t1ce",
        lambda scan: changed(scan, lambda data: data.put(0, np.nan), np.float32),
        "contract",
        "nan",
    ),
    "infinite": (
        "t2",
        lambda scan: changed(scan, lambda data: data.put(0, np.inf), np.float32),
        "contract",
        "infinite",
    ),
    "empty": ("t1", lambda scan: changed(scan, lambda data: data.fill(0)), "contract", "contrast"),
    "constant": ("t1", lambda scan: changed(scan, lambda data: data.fill(7)), "contract", "contrast"),
    "colours": (
        "t1",
        lambda scan: encode_volume(Volume(scan.data.astype(np.complex64), scan.grid)),
        "contract",
        "dtype",
    ),
    "truth elsewhere": (
        "seg",
        lambda scan: encode_volume(
            Volume(np.ones_like(scan.data), Grid(scan.grid.shape, scan.grid.affine + np.eye(4, k=3)))
        ),
        "contract",
        "affine",
    ),
    "no truth": (
        "seg",
        lambda scan: changed(scan, lambda data: data.fill(65540), np.float32),  # 4 in 16 bits
        "contract",
        "labels",
    ),
    "truth of no scheme": (
        "seg",
        lambda scan: changed(scan, lambda data: data.fill(9)),
        "contract",
        "labels",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_breaks_the_contract_is_refused_by_rule_and_field(client, scan, case):
    field, make, code, rule = REFUSALS[case]
    response = client.post("/segment", files=files(scan, **{field: make(scan)}))
    assert response.status_code == 422
    found = error(response)
    assert (found["code"], found["field"], found["rule"]) == (code, field, rule)
    assert found["message"].startswith("expected ")
    assert f'glioseg_contract_refusals_total{{rule="{rule}"}} 1.0' in client.get("/metrics").text


def test_no_modality_is_refused(client, scan):
    response = client.post("/segment", files=files(scan, ("seg",)))
    assert response.status_code == 422
    assert error(response)["rule"] == "modality"


def test_where_the_model_can_be_trusted_less_the_answer_says_so(client, scan):
    # Nothing around the head is 0: the skull is not stripped.
    noisy = changed(scan, lambda data: data.__iadd__(np.arange(data.size).reshape(data.shape) % 7 + 1))
    warnings = client.post("/segment", files=files(scan, flair=noisy)).json()["warnings"]
    told = {(warning["rule"], warning["field"]) for warning in warnings}
    assert ("brain_fraction", "flair") in told
    assert ("shape", "t1") in told  # (20, 24, 18) is not BraTS's


BAD_FORMS = {
    "text in place of a file": ({"data": {"t1": "text"}, "files": {"x": b""}}, None),
    "an unknown field": ({"files": {"t1c": b"x"}}, None),
    "a field twice": ({"files": [("t1", b"x"), ("t1", b"y")]}, "t1"),
    "an unknown scheme": ({"files": {"t1": b"x"}, "data": {"scheme": "brats1999"}}, "scheme"),
    "neither yes nor no": ({"files": {"t1": b"x"}, "data": {"mirror": "perhaps"}}, "mirror"),
    "a file in place of text": ({"files": {"entropy": b"x"}}, "entropy"),
    "no form": (
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        None,
    ),
    "a broken form": (
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=a"}},
        None,
    ),
}


@pytest.mark.parametrize("case", BAD_FORMS)
def test_a_form_that_does_not_fit_says_which_field(client, case):
    given, field = BAD_FORMS[case]
    response = client.post("/segment", **given)
    assert response.status_code == 400
    assert (error(response)["code"], error(response)["field"]) == ("bad_request", field)


def test_another_kind_of_body_is_415(client):
    assert client.post("/segment", json={}).status_code == 415


def test_a_file_that_was_not_chosen_counts_as_missing(client, scan):
    # As a browser sends it: the field, with an empty name and no content.
    content = encode_volume(scan)
    part = b'--a\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
    body = part % (b"t1", b"x.nii.gz", content) + part % (b"t2", b"", b"") + b"--a--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert client.post("/segment", content=body, headers=headers).json()["missing"] == ["t1ce", "t2", "flair"]


@pytest.mark.parametrize("told", [True, False])
def test_more_bytes_than_the_limit_are_refused(make_client, scan, told):
    client = make_client(most_bytes=10_000)
    body = b"x" * 10_001
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    # Chunks come without a length that is told before.
    response = client.post(
        "/segment", content=body if told else iter([body[:9_000], body[9_000:]]), headers=headers
    )
    assert response.status_code == 413
    assert error(response) == {
        "code": "too_large",
        "field": None,
        "rule": None,
        "message": "expected at most 0.01 MB",
    }


def test_a_file_that_is_too_large_once_inflated_is_refused(make_client, scan):
    # 20 x 24 x 18 voxels at 8 bytes are 69,120; the whole request is smaller.
    given = {"t1": encode_volume(Volume(np.zeros_like(scan.data), scan.grid))}
    response = make_client(most_bytes=69_119).post("/segment", files=given)
    assert (response.status_code, error(response)["rule"]) == (422, "readable")
    assert "expected at most 8639 voxels" in error(response)["message"]
    response = make_client(most_bytes=69_120).post("/segment", files=given)
    assert error(response)["rule"] == "contrast"  # it is looked at


def test_a_gzip_bomb_is_refused_by_its_header(client, scan):
    header = bytearray(encode_volume(scan, compress=False)[:352])
    header[42:48] = b"".join(n.to_bytes(2, "little") for n in (500, 500, 200))
    bomb = gzip.compress(bytes(header) + bytes(100_000_000))
    response = client.post("/segment", files={"t1": ("x", bomb)})
    assert (response.status_code, error(response)["rule"]) == (422, "readable")


PATHS = {"/segment": "post", "/metrics": "get", "/sample/t1.nii.gz": "get", f"/requests/{'0' * 32}": "get"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"}]
)
def test_a_token_is_asked_for_where_there_is_one(make_client, path, headers):
    response = make_client(token="secret").request(PATHS[path], path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error(response)["code"] == "unauthorised"


def test_the_token_opens_and_states_are_open_to_all(make_client, scan):
    client = make_client(token="secret")
    headers = {"Authorization": "Bearer secret"}
    assert client.post("/segment", files=files(scan), headers=headers).status_code == 200
    for path in ("/healthz", "/readyz", "/docs/", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_states(client, follower):
    assert client.get("/healthz").text == "ok\n"
    ready = client.get("/readyz").json()
    assert (ready["model"], ready["version"]) == ("models", follower.current.version)
    assert (ready["problem"], ready["requests"]) == (None, 0)
    client.line.closed = True
    response = client.get("/readyz")
    assert (response.status_code, error(response)["code"]) == (503, "stopping")


def test_prometheus_counts(client, scan):
    client.post("/segment", files=files(scan))
    client.post("/segment", files=files(scan))
    client.get("/somewhere/else")
    page = client.get("/metrics").text
    assert 'glioseg_requests_total{route="/segment",status="200"} 2.0' in page
    assert 'glioseg_requests_total{route="other",status="404"} 1.0' in page
    assert "glioseg_segment_seconds_count 2.0" in page
    assert "glioseg_queue_length 0.0" in page
    assert 'glioseg_model_info{model="models",version="' in page


class Slow:
    """A segmenter that answers once it is let go."""

    def __init__(self, segmenter):
        self.segmenter, self.settings = segmenter, segmenter.settings
        self.begun, self.go = threading.Event(), threading.Event()

    def answer(self, images):
        self.begun.set()
        self.go.wait()
        return self.segmenter.answer(images)


@pytest.fixture
def slow(follower):
    segmenter = Slow(follower.current.segmenter)
    yield SimpleNamespace(
        current=replace(follower.current, segmenter=segmenter), problem=None, slow=segmenter
    )
    segmenter.go.set()


def wait_until(condition):
    while not condition():
        time.sleep(0.005)


def test_a_full_line_is_503_with_retry_after_and_each_may_ask_for_its_turn(make_client, slow, scan):
    client = make_client(follower=slow, places=2)
    names = ["a" * 32, "b" * 32]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/segment", files=files(scan), headers={"X-Request-ID": names[0]})
        slow.slow.begun.wait()
        second = pool.submit(client.post, "/segment", files=files(scan), headers={"X-Request-ID": names[1]})
        wait_until(lambda: client.line.ahead(names[1]) == 1)
        assert client.get(f"/requests/{names[0]}").json() == {"state": "running"}
        assert client.get(f"/requests/{names[1]}").json() == {"state": "waiting", "ahead": 1}
        assert client.get(f"/requests/{'c' * 32}").json() == {"state": "unknown"}
        refused = client.post("/segment", files=files(scan))
        assert (refused.status_code, error(refused)["code"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        assert "glioseg_queue_length 2.0" in client.get("/metrics").text
        slow.slow.go.set()
        assert [answer.result().status_code for answer in (first, second)] == [200, 200]
        assert first.result().headers["X-Request-ID"] == names[0]


def test_ten_at_once_of_one_name_are_each_answered_or_refused(make_client, slow, scan):
    client, name = make_client(follower=slow, places=3), "d" * 32
    with ThreadPoolExecutor(10) as pool:
        given = {"files": files(scan), "headers": {"X-Request-ID": name}}
        asked = [pool.submit(client.post, "/segment", **given) for _ in range(10)]
        wait_until(lambda: sum(answer.done() for answer in asked) == 7)
        slow.slow.go.set()
        answers = [answer.result() for answer in asked]
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 7
    assert {error(answer)["code"] for answer in answers if answer.status_code == 503} == {"busy"}
    assert {answer.headers["X-Request-ID"] for answer in answers} == {name}
    assert client.get(f"/requests/{name}").json() == {"state": "unknown"}


ODD_NAMES = [
    "a" * 31,
    "a" * 33,
    "A" * 32,
    "a" * 100_000,
    "a" * 31 + "\n",
    f"{'a' * 32}\r\nX-Other: b",
    "../" * 10,
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_another_name_than_32_hexadecimal_digits_is_neither_told_back_nor_logged(client, caplog, name):
    with caplog.at_level(logging.INFO, "glioseg.serving"):
        response = client.get("/healthz", headers={"X-Request-ID": name})
    given = response.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", given)
    assert given != name.strip()
    assert "X-Other" not in response.headers
    assert [record.getMessage().split()[0] for record in caplog.records] == [given]


def test_past_the_time_limit_it_is_504(make_client, slow, scan):
    response = make_client(follower=slow, limit_s=0.2).post("/segment", files=files(scan))
    assert (response.status_code, error(response)["code"]) == (504, "timeout")


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_fault_of_the_service_shows_no_trace_and_logs_no_message(make_client, slow, scan, caplog, kind):
    def fail(images):
        raise kind("what the patient's header says")

    slow.slow.answer = fail
    with caplog.at_level(logging.INFO, "glioseg"):
        response = make_client(follower=slow).post("/segment", files=files(scan))
    assert (response.status_code, error(response)["code"]) == (500, "internal")
    assert "patient" not in response.text + caplog.text
    assert f"{kind.__name__} at " in caplog.text


@pytest.mark.parametrize(("error", "traceback"), [(GliosegError("gone"), False), (ValueError("bug"), True)])
def test_a_bug_in_loading_a_version_is_logged_with_its_traceback(
    registered, monkeypatch, caplog, error, traceback
):
    def fail(address):
        raise error

    follower = Follower(str(registered.root / "models"))
    monkeypatch.setattr("glioseg.serving.model_reloader._meant", lambda model: "models:/glioseg/9")
    monkeypatch.setattr("glioseg.serving.model_reloader.load_version", fail)
    follower.look()
    assert follower.problem == f"models:/glioseg/9: {error}"
    assert ("Traceback" in caplog.text) == traceback


def test_the_log_is_a_line_a_request_without_what_the_client_wrote(client, scan, caplog):
    with caplog.at_level(logging.INFO, "glioseg.serving"):
        client.post("/segment?name=patient", files=files(scan, t1=b"patient"))
        client.get("/patient.nii.gz", headers={"X-Request-ID": "patient"})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert " /segment 422 " in lines[0]
    assert " other 404 " in lines[1]
    assert "patient" not in "".join(lines)


def test_every_answer_has_safe_headers(client):
    for path in ("/healthz", "/nowhere", "/docs/swagger-ui.css"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_documentation_needs_no_network(client):
    page = client.get("/docs").text
    assert "http" not in page
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert "../openapi.json" in client.get("/docs/start.js").text


def test_files_beside_the_page_stay_where_they_are(client):
    for path in ("/docs/../app.py", "/docs/%2e%2e/app.py", "/page/..%2fapp.py"):
        assert client.get(path).status_code == 404


def test_the_sample_is_a_case_that_keeps_the_contract():
    volume = decode_volume(sample_file("seg"), name="seg")
    assert volume.grid.shape == (240, 240, 155)
    assert set(np.unique(volume.data)) <= {0, 1, 2, 4}
