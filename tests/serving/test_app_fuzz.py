"""Random requests never cause an internal error of the service."""

import gzip

import numpy as np
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume

EXAMPLES, MUTATED = 40, 500


def test_responses_match_the_openapi_description(make_client):
    """Statuses, bodies and content types are as described, and no status is 500."""
    client = make_client(token="secret")
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/segment", "/readyz", "/requests/{name}"}
    for operation in operations:
        if not operation.path.startswith("/sample"):  # rendering it takes half a minute
            check_operation(operation)


def check_operation(operation):
    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case):
        # No schema describes which bytes are a scan, so valid forms may be rejected too.
        case.call_and_validate(
            headers={"Authorization": "Bearer secret"}, excluded_checks=[positive_data_acceptance]
        )

    check()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change header or voxels of a file, truncate it, and corrupt its compressed bytes."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        kind = rng.integers(6)
        if kind < 3:  # a byte of the header
            data[rng.integers(min(352, len(data)))] = rng.integers(256)
        elif kind == 3:  # a number of the header
            at = int(rng.integers(0, 348 - 4, endpoint=True))
            odd = [
                b"\xff\xff\xff\x7f",
                b"\0\0\xc0\x7f",
                b"\0\0\x80\x7f",
                b"\0\0\0\0",
                b"\1\0\0\x80",
                b"\xff\x7f\xff\x7f",
            ]
            data[at : at + 4] = odd[rng.integers(len(odd))]
        elif kind == 4:  # voxels
            at = int(rng.integers(352, len(data)))
            data[at : at + 64] = rng.bytes(64)
        elif len(data) > 1000:
            del data[int(rng.integers(1000, len(data))) :]
    if rng.integers(2):
        return bytes(data)
    packed = bytearray(gzip.compress(bytes(data), 1))
    if rng.integers(3) == 0:
        packed[rng.integers(len(packed))] = rng.integers(256)
    return bytes(packed)


def test_mutated_files_are_segmented_or_rejected(client):
    rng = np.random.default_rng(7)
    shape = (10, 12, 8)
    kinds = [np.int16, np.float32, np.float64, np.uint8]
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    data = rng.integers(0, 200, shape)
    data[:2] = 0  # background
    good = [encode_volume(Volume(data.astype(kind), Grid(shape, affine)), compress=False) for kind in kinds]
    statuses = []
    for number in range(MUTATED):
        content = mutate(good[number % len(good)], rng)
        # Alone, with a valid file, or as the true segmentation.
        role = (*MODALITIES, "seg")[number % 5]
        beside = {} if number % 2 and role != "seg" else {"t1" if role != "t1" else "t2": good[0]}
        response = client.post(
            "/segment", files={role: ("x", content)} | {name: ("y", sound) for name, sound in beside.items()}
        )
        assert response.status_code in (200, 422), (number, response.text)
        if response.status_code == 422:
            assert response.json()["error"]["message"]
        statuses.append(response.status_code)
    assert min(map(statuses.count, (200, 422))) > MUTATED / 20  # both occur
