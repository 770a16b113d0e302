import base64
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from glioseg.data.layouts import MODALITIES
from glioseg.data.volumes import Grid, Volume, decode_volume, encode_volume
from glioseg.labels import Scheme, from_scheme
from glioseg.nets.inference import load_model
from servers import free_port, server


@pytest.fixture(scope="module")
def model(registered):
    mlflow.set_tracking_uri(registered.tracking_uri)
    return mlflow.pyfunc.load_model("models:/glioseg@champion")


@pytest.fixture(scope="module")
def expected(registered, scan):
    """What the network itself says, without MLflow: dense labels on the scan's own grid."""
    labels = load_model(registered.root / "models").segment(dict.fromkeys(MODALITIES, scan))
    assert len(np.unique(labels)) == 4
    return labels


def row(scan, compress=True):
    return dict.fromkeys(MODALITIES, encode_volume(scan, compress=compress))


def test_a_label_map_comes_back_on_the_scan_s_own_grid(model, scan, expected):
    answer = model.predict(pd.DataFrame([row(scan)]))
    volume = decode_volume(answer["segmentation"][0], name="answer")
    np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
    np.testing.assert_array_equal(from_scheme(volume.data, Scheme.BRATS2021), expected)
    assert volume.data.dtype == np.uint8


def test_volumes_are_voxels_times_their_size(model, scan, expected):
    answer = model.predict(pd.DataFrame([row(scan)])).iloc[0]
    # A voxel is 1 x 1 x 2 mm = 0.002 ml.
    assert answer["wt_ml"] == pytest.approx(0.002 * (expected > 0).sum())
    assert answer["tc_ml"] == pytest.approx(0.002 * np.isin(expected, (1, 3)).sum())
    assert answer["et_ml"] == pytest.approx(0.002 * (expected == 3).sum())
    for region in ("wt", "tc", "et"):
        assert answer[f"{region}_low_ml"] < answer[f"{region}_ml"] < answer[f"{region}_high_ml"]


def test_gzip_or_not_and_one_answer_a_row(model, scan):
    answer = model.predict(pd.DataFrame([row(scan), row(scan, compress=False)]))
    assert len(answer) == 2
    assert answer["segmentation"][0] == answer["segmentation"][1]


def test_the_scheme_is_the_caller_s(model, scan, expected):
    answer = model.predict(pd.DataFrame([row(scan)]), params={"scheme": "brats2023"})
    data = decode_volume(answer["segmentation"][0], name="answer").data
    np.testing.assert_array_equal(data, expected)  # dense labels are BraTS 2023's


@pytest.mark.parametrize(
    ("column", "content", "message"),
    [
        ("t2", b"not NIfTI", "row 1/t2: readable: expected a whole 3D NIfTI file, got not a NIfTI file"),
        ("flair", b"\x1f\x8b", "row 1/flair: readable: expected a whole 3D NIfTI file, got not a whole"),
    ],
)
def test_a_bad_file_is_named(model, scan, column, content, message):
    rows = pd.DataFrame([row(scan), row(scan) | {column: content}])
    with pytest.raises(MlflowException, match=message) as error:
        model.predict(rows)
    assert error.value.get_http_status_code() == 400


def test_the_contract_guards_it_and_is_the_version_s_own(model, scan):
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    thin = encode_volume(Volume(scan.data, Grid(scan.grid.shape, affine)))
    message = r"^row 0/t1: spacing: expected \(1.0, 1.0, 2.0\) mm, got \(1.0, 1.0, 1.5\) mm"
    with pytest.raises(MlflowException, match=message):
        model.predict(pd.DataFrame([dict.fromkeys(MODALITIES, thin)]))
    spoiled = scan.data.astype(np.float32)
    spoiled[8, 8, 8] = np.inf
    with pytest.raises(MlflowException, match=r"^row 0/t2: infinite: expected 0 voxels, got 1 voxels"):
        model.predict(pd.DataFrame([row(scan) | {"t2": encode_volume(Volume(spoiled, scan.grid))}]))


def test_an_unknown_scheme_is_an_error(model, scan):
    with pytest.raises(MlflowException, match="brats1999"):
        model.predict(pd.DataFrame([row(scan)]), params={"scheme": "brats1999"})


@pytest.mark.parametrize("cell", [None, float("nan"), b""])
def test_a_modality_may_be_missing(model, registered, scan, cell):
    fewer = {name: scan for name in MODALITIES if name not in ("t2", "flair")}
    expected = load_model(registered.root / "models").segment(fewer)
    columns_missing = pd.DataFrame([row(scan)]).drop(columns=["t2", "flair"])
    cells_missing = pd.DataFrame([row(scan), row(scan) | {"t2": cell, "flair": cell}])
    for answer in (model.predict(columns_missing).iloc[0], model.predict(cells_missing).iloc[1]):
        volume = decode_volume(answer["segmentation"], name="answer")
        np.testing.assert_array_equal(from_scheme(volume.data, Scheme.BRATS2021), expected)


def test_no_modality_is_one_clear_error(model, scan):
    empty = row(scan) | dict.fromkeys(MODALITIES, b"")
    with pytest.raises(MlflowException, match="row 1: no modality: expected at least one of t1, t1ce"):
        model.predict(pd.DataFrame([row(scan), empty]))


def test_threads_may_call_it_at_once(model, scan):
    frame = pd.DataFrame([row(scan)])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: model.predict(frame)["segmentation"][0], range(8)))
    assert len(set(answers)) == 1


def post(address, body):
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_mlflow_s_own_server_answers_without_the_checkout(registered, scan, expected, tmp_path):
    # Found before the checkout, and after the version's own copy.
    (tmp_path / "glioseg").mkdir()
    (tmp_path / "glioseg" / "__init__.py").write_text("raise ImportError('not the version´s own glioseg')")
    port = free_port()
    words = ["mlflow", "models", "serve", "-m", "models:/glioseg@champion"]
    words += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    places = {"MLFLOW_TRACKING_URI": registered.tracking_uri, "PYTHONPATH": str(tmp_path)}
    with server(words, port=port, ready="ping", **places) as address:
        files = [base64.b64encode(content).decode() for content in row(scan).values()]
        body = {"dataframe_split": {"columns": list(MODALITIES), "data": [files]}}
        (answer,) = post(address, body)["predictions"]
        volume = decode_volume(base64.b64decode(answer["segmentation"]), name="answer")
        np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
        assert (from_scheme(volume.data, Scheme.BRATS2021) == expected).mean() > 0.999
        volumes = {f"{region}_{end}" for region in ("wt", "tc", "et") for end in ("ml", "low_ml", "high_ml")}
        assert set(answer) == {"segmentation"} | volumes
        fewer = {"dataframe_split": {"columns": ["t1", "t2"], "data": [files[:2]]}}
        assert set(post(address, fewer)["predictions"][0]) == set(answer)
        body["dataframe_split"]["data"][0][0] = base64.b64encode(b"x").decode()
        with pytest.raises(urllib.error.HTTPError) as error:
            post(address, body)
        assert error.value.code == 400
