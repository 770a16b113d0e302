import pytest

from glioseg.core.nifti import encode_volume
from tests.helpers.uploads import error_of

INVALID_FORMS = {
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


@pytest.mark.parametrize("case", INVALID_FORMS)
def test_an_invalid_form_names_the_field(client, case):
    given, field = INVALID_FORMS[case]
    response = client.post("/segment", **given)
    assert response.status_code == 400
    assert (error_of(response)["code"], error_of(response)["field"]) == ("bad_request", field)


def test_a_body_that_is_no_form_is_415(client):
    assert client.post("/segment", json={}).status_code == 415


def test_an_empty_file_field_counts_as_missing(client, scan):
    # As a browser sends it: the field, with an empty name and no content.
    content = encode_volume(scan)
    part = b'--a\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
    body = part % (b"t1", b"x.nii.gz", content) + part % (b"t2", b"", b"") + b"--a--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert client.post("/segment", content=body, headers=headers).json()["missing"] == ["t1ce", "t2", "flair"]


@pytest.mark.parametrize("received", [True, False])
def test_a_request_above_the_size_limit_is_413(make_client, scan, received):
    client = make_client(max_bytes=10_000)
    body = b"x" * 10_001
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    # Chunks come without a length that is received before.
    response = client.post(
        "/segment", content=body if received else iter([body[:9_000], body[9_000:]]), headers=headers
    )
    assert response.status_code == 413
    assert error_of(response) == {
        "code": "too_large",
        "field": None,
        "rule": None,
        "message": "expected at most 0.01 MB",
    }
