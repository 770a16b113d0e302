import base64
import gzip
from dataclasses import asdict
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from glioseg.core.labels import REGIONS, LabelScheme, from_scheme, regions_from_labels, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, decode_volume, encode_volume
from glioseg.evaluation.case_figure import planes_picture, scan_in_lps
from glioseg.models.inference.loading import load_model
from tests.helpers.uploads import decode_base64, error_of, modified, upload_files


@pytest.fixture(scope="module")
def expected(registered, scan):
    """What the network itself says: dense labels on the scan's own grid."""
    return load_model(registered.root / "models").predict(dict.fromkeys(MODALITIES, scan))


def test_the_label_map_is_on_the_grid_of_the_scan(client, scan, expected):
    response = client.post("/segment", files=upload_files(scan))
    assert response.status_code == 200
    body = response.json()
    volume = decode_base64(body["segmentation"])
    np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
    np.testing.assert_array_equal(from_scheme(volume.data, LabelScheme.BRATS2021), expected.labels)
    # A voxel is 1 x 1 x 2 mm = 0.002 ml.
    assert body["volumes"]["WT"]["ml"] == pytest.approx(0.002 * (expected.labels > 0).sum())
    assert body["volumes"] == {name: asdict(volume) for name, volume in expected.volumes.items()}
    assert body["volumes"]["ET"]["level"] == 0.875
    brain = expected.entropy_bits[scan.data != 0]
    assert body["entropy"]["mean_bits"] == pytest.approx(brain.mean(dtype=float), rel=1e-5)
    assert body["confidence"] == pytest.approx(expected.confidence)
    assert body["low_confidence_reasons"] == list(expected.low_confidence_reasons) != []
    assert (body["model"], body["missing"], body["dice"]) == ("models", [], None)
    assert (body["entropy_map"], body["probabilities"], body["grade_lgg"]) == (None, None, None)
    assert response.headers["X-Glioseg-Version"] == body["version"]


def test_accept_gzip_returns_the_label_map_alone(client, scan, expected):
    response = client.post("/segment", files=upload_files(scan), headers={"Accept": "application/gzip"})
    assert response.headers["Content-Type"] == "application/gzip"
    assert len(response.headers["X-Glioseg-Version"]) == 12
    volume = decode_volume(response.content, name="response")
    np.testing.assert_array_equal(from_scheme(volume.data, LabelScheme.BRATS2021), expected.labels)


def test_files_may_be_compressed_or_not(client, scan):
    plain = dict.fromkeys(MODALITIES, ("x.nii", encode_volume(scan, compress=False)))
    one, other = (client.post("/segment", files=given).json() for given in (upload_files(scan), plain))
    assert one["segmentation"] == other["segmentation"]


def test_optional_maps_are_returned_on_request(client, scan, expected):
    options = {"scheme": "msd", "mirror": "true", "entropy": "true", "probabilities": "True"}
    body = client.post("/segment", files=upload_files(scan), data=options).json()
    # The network processes each voxel alone: mirror images change nothing.
    np.testing.assert_array_equal(
        from_scheme(decode_base64(body["segmentation"]).data, LabelScheme.MSD), expected.labels
    )
    np.testing.assert_allclose(decode_base64(body["entropy_map"]).data, expected.entropy_bits, atol=1e-5)
    assert list(body["probabilities"]) == list(REGIONS)
    for index, text in enumerate(body["probabilities"].values()):
        np.testing.assert_allclose(
            decode_base64(text).data, expected.probabilities.on_grid()[..., index], atol=0.5 / 255 + 1e-6
        )


@pytest.mark.parametrize("with_truth", [False, True])
def test_a_picture_is_returned_on_request(client, scan, expected, with_truth):
    truth = np.roll(expected.labels, 1, axis=0)
    files = upload_files(scan)
    if with_truth:
        dense = Volume(to_scheme(truth, LabelScheme.BRATS2021), scan.grid)
        files["seg"] = ("seg.nii.gz", encode_volume(dense))
    body = client.post("/segment", files=files, data={"picture": "true"}).json()
    labels = ({"truth": truth} if with_truth else {}) | {"prediction": expected.labels}
    images = {"flair": scan.data, "t1ce": scan.data}
    title = f"models, version {body['version']}"
    volumes = "   ".join(f"{region} {body['volumes'][region]['ml']:.1f} ml" for region in REGIONS)
    drawn = planes_picture(scan_in_lps(images, labels, scan.grid), title=title, subtitle=volumes)
    with Image.open(BytesIO(base64.b64decode(body["picture"]))) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(drawn))


def test_a_picture_without_t1ce_says_what_cannot_be_judged(client, registered, scan):
    body = client.post("/segment", files=upload_files(scan, ("flair",)), data={"picture": "true"}).json()
    labels = {"prediction": load_model(registered.root / "models").segment({"flair": scan})}
    title = f"models, version {body['version']}"
    reason = "cannot be judged without T1ce"
    volumes = f"WT {body['volumes']['WT']['ml']:.1f} ml   TC {reason}   ET {reason}"
    drawn = planes_picture(
        scan_in_lps({"flair": scan.data}, labels, scan.grid), title=title, subtitle=volumes
    )
    with Image.open(BytesIO(base64.b64decode(body["picture"]))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(drawn))


def test_without_the_option_no_picture_is_drawn(client, scan):
    assert client.post("/segment", files=upload_files(scan)).json()["picture"] is None


def test_modalities_may_be_missing(client, registered, scan):
    body = client.post("/segment", files=upload_files(scan, ("t1", "flair"))).json()
    assert body["missing"] == ["t1ce", "t2"]
    reason = "cannot be judged without T1ce"
    unjudged = {"ml": None, "low_ml": None, "high_ml": None, "level": None, "reason": reason}
    assert body["volumes"]["TC"] == body["volumes"]["ET"] == unjudged
    assert (body["confidence"]["TC"], body["confidence"]["ET"]) == (None, None)
    assert body["volumes"]["WT"]["ml"] is not None
    assert body["low_confidence_reasons"][:2] == [f"TC {reason}", f"ET {reason}"]
    fewer = load_model(registered.root / "models").segment({"t1": scan, "flair": scan})
    np.testing.assert_array_equal(
        from_scheme(decode_base64(body["segmentation"]).data, LabelScheme.BRATS2021), fewer
    )


@pytest.mark.parametrize("scheme", [LabelScheme.BRATS2021, LabelScheme.BRATS2023])
def test_an_uploaded_segmentation_is_scored_in_any_scheme(client, scan, expected, scheme):
    truth = expected.labels.copy()
    truth[: truth.shape[0] // 2] = 0
    seg = encode_volume(Volume(to_scheme(truth, scheme), scan.grid))
    dice = client.post("/segment", files=upload_files(scan, seg=seg)).json()["dice"]
    one, other = regions_from_labels(truth), regions_from_labels(expected.labels)
    for index, region in enumerate(REGIONS):
        both = (one & other)[..., index].sum()
        assert dice[region] == pytest.approx(2 * both / (one[..., index].sum() + other[..., index].sum()))


def test_the_label_map_has_the_orientation_of_the_scan(client, scan, expected):
    affine = scan.grid.affine[:, [1, 0, 2, 3]]
    turned = Volume(np.ascontiguousarray(scan.data.transpose(1, 0, 2)), Grid((24, 20, 18), affine))
    body = client.post("/segment", files=upload_files(turned)).json()
    volume = decode_base64(body["segmentation"])
    np.testing.assert_array_equal(volume.grid.affine, affine)
    labels = from_scheme(volume.data, LabelScheme.BRATS2021).transpose(1, 0, 2)
    np.testing.assert_array_equal(labels, expected.labels)


REJECTED = {
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
        lambda scan: modified(scan, lambda data: data.put(0, np.nan), np.float32),
        "contract",
        "nan",
    ),
    "infinite": (
        "t2",
        lambda scan: modified(scan, lambda data: data.put(0, np.inf), np.float32),
        "contract",
        "infinite",
    ),
    "empty": ("t1", lambda scan: modified(scan, lambda data: data.fill(0)), "contract", "contrast"),
    "constant": ("t1", lambda scan: modified(scan, lambda data: data.fill(7)), "contract", "contrast"),
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
        lambda scan: modified(scan, lambda data: data.fill(65540), np.float32),  # 4 in 16 bits
        "contract",
        "labels",
    ),
    "truth of no scheme": (
        "seg",
        lambda scan: modified(scan, lambda data: data.fill(9)),
        "contract",
        "labels",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_rejection_names_the_rule_and_the_field(client, scan, case):
    field, make, code, rule = REJECTED[case]
    response = client.post("/segment", files=upload_files(scan, **{field: make(scan)}))
    assert response.status_code == 422
    found = error_of(response)
    assert (found["code"], found["field"], found["rule"]) == (code, field, rule)
    assert found["message"].startswith("expected ")
    assert f'glioseg_contract_refusals_total{{rule="{rule}"}} 1.0' in client.get("/metrics").text


def test_a_case_without_modality_is_rejected(client, scan):
    response = client.post("/segment", files=upload_files(scan, ("seg",)))
    assert response.status_code == 422
    assert error_of(response)["rule"] == "modality"


def test_warnings_of_the_contract_are_returned(client, scan):
    copy = encode_volume(Volume(scan.data.astype(np.float32), scan.grid))
    warnings = client.post("/segment", files=upload_files(scan, flair=copy)).json()["warnings"]
    received = {(warning["rule"], warning["field"]) for warning in warnings}
    assert ("own_bytes", "flair") in received
    assert ("shape", "t1") in received  # (20, 24, 18) is not BraTS's


def test_a_file_that_is_too_large_when_decompressed_is_rejected(make_client, scan):
    # 20 x 24 x 18 voxels at 8 bytes are 69,120; the whole request is smaller.
    given = {"t1": encode_volume(Volume(np.zeros_like(scan.data), scan.grid))}
    response = make_client(max_bytes=69_119).post("/segment", files=given)
    assert (response.status_code, error_of(response)["rule"]) == (422, "readable")
    assert "expected at most 8639 voxels" in error_of(response)["message"]
    response = make_client(max_bytes=69_120).post("/segment", files=given)
    assert error_of(response)["rule"] == "contrast"  # it is looked at


def test_a_gzip_bomb_is_rejected_by_its_header(client, scan):
    header = bytearray(encode_volume(scan, compress=False)[:352])
    header[42:48] = b"".join(n.to_bytes(2, "little") for n in (500, 500, 200))
    bomb = gzip.compress(bytes(header) + bytes(100_000_000))
    response = client.post("/segment", files={"t1": ("x", bomb)})
    assert (response.status_code, error_of(response)["rule"]) == (422, "readable")
