import json

import pytest

from glioseg.serving.schemas import RequestError, bad_request


def test_the_body_of_an_error_names_code_field_rule_and_message():
    error = RequestError(422, "contract", "expected 0 voxels, got 1 voxels", "t2", "infinite")
    assert json.loads(error.body) == {
        "error": {
            "code": "contract",
            "field": "t2",
            "rule": "infinite",
            "message": "expected 0 voxels, got 1 voxels",
        }
    }
    assert error.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (RequestError(401, "unauthorised", ""), "WWW-Authenticate", "Bearer"),
        (RequestError(503, "busy", "", retry_after_s=3), "Retry-After", "3"),
    ],
)
def test_headers_say_what_the_client_can_do(error, header, value):
    assert error.headers[header] == value


def test_a_bad_request_is_400():
    assert (bad_request("expected one value", field="t1").status, bad_request("x").field) == (400, None)
