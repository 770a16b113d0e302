import ast
import base64
import gzip
import json
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from glioseg.core.errors import SettingError
from glioseg.core.labels import REGIONS, LabelScheme, from_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, decode_volume, encode_volume
from glioseg.data.cohort.cases import Case, decode_scan
from glioseg.mlops.tracking.logged_model import PACKAGES
from glioseg.models.inference.loading import load_model
from glioseg.models.inference.prediction import NUMERIC_COLUMNS
from glioseg.models.inference.predictor import Predictor
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import check_scans
from tests.helpers.servers import free_port, server

ROOT = Path(__file__).parents[2]
IMPORTED_AS = {"pyyaml": "yaml"}
OPTIONAL_BACKEND = {"jax"}
"""Imported only if a user sets KERAS_BACKEND to it; the version was made with TensorFlow."""
PROBABILITIES = ("wt_probability", "tc_probability", "et_probability")

WORDS = {"low_confidence_reasons", "calibrated_on", "contract_check"}


@pytest.fixture(scope="module")
def model(registered):
    mlflow.set_tracking_uri(registered.tracking_uri)
    return mlflow.pyfunc.load_model("models:/glioseg@champion")


@pytest.fixture(scope="module")
def expected(registered, scan):
    """The labels of the model without MLflow: dense, on the grid of the scan."""
    labels = load_model(registered.root / "models").segment(dict.fromkeys(MODALITIES, scan))
    assert len(np.unique(labels)) == 4
    return labels


def row(scan, compress=True):
    return dict.fromkeys(MODALITIES, encode_volume(scan, compress=compress))


def test_a_version_has_a_small_phantom_as_input_example(model):
    folder = Path(mlflow.artifacts.download_artifacts("models:/glioseg@champion"))
    assert (folder / "input_example.json").stat().st_size < 700_000
    assert list(json.loads((folder / "serving_input_example.json").read_text())) == ["dataframe_split"]
    row = model.input_example.iloc[0]
    assert list(row.index) == list(MODALITIES)
    scans = {name: decode_scan(row[name], file="") for name in MODALITIES}
    assert {scan.volume.data.shape for scan in scans.values()} == {(76, 96, 76)}
    case = Case("example", dict.fromkeys(scans, Path()), LabelScheme.BRATS2021)
    checked = check_scans(case, scans, Contract())
    assert {finding.expectation for finding in checked.findings} == {"shape", "spacing"}
    assert not checked.critical


def test_the_label_map_is_on_the_grid_of_the_scan(model, scan, expected):
    result = model.predict(pd.DataFrame([row(scan)]))
    volume = decode_volume(result["segmentation"][0], name="result")
    np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
    np.testing.assert_array_equal(from_scheme(volume.data, LabelScheme.BRATS2021), expected)
    assert volume.data.dtype == np.uint8


def test_volumes_are_voxels_times_their_size(model, scan, expected):
    result = model.predict(pd.DataFrame([row(scan)])).iloc[0]
    # A voxel is 1 x 1 x 2 mm = 0.002 ml.
    assert result["wt_ml"] == pytest.approx(0.002 * (expected > 0).sum())
    assert result["tc_ml"] == pytest.approx(0.002 * np.isin(expected, (1, 3)).sum())
    assert result["et_ml"] == pytest.approx(0.002 * (expected == 3).sum())
    assert result["interval_level"] == 0.875
    for region in ("wt", "tc", "et"):
        assert result[f"{region}_low_ml"] < result[f"{region}_ml"] < result[f"{region}_high_ml"]


def test_files_may_be_compressed_and_each_row_has_a_result(model, scan):
    result = model.predict(pd.DataFrame([row(scan), row(scan, compress=False)]))
    assert len(result) == 2
    assert result["segmentation"][0] == result["segmentation"][1]


def test_the_scheme_is_a_parameter(model, scan, expected):
    result = model.predict(pd.DataFrame([row(scan)]), params={"scheme": "brats2023"})
    data = decode_volume(result["segmentation"][0], name="result").data
    np.testing.assert_array_equal(data, expected)  # dense labels are BraTS 2023's


def checks(result):
    return [json.loads(text) for text in result["contract_check"]]


def test_the_contract_check_lists_the_findings(model, scan):
    affine = scan.grid.affine.copy()
    affine[0, 0] = affine[1, 1] = -1
    plain = encode_volume(Volume(scan.data, Grid(scan.grid.shape, affine)))
    result = model.predict(pd.DataFrame([{"t1": plain}]))
    (check,) = checks(result)
    assert check["status"] == "warned"
    shape = {"rule": "shape", "field": "t1", "severity": "warning"}
    assert check["findings"][0] == shape | {"message": "expected (240, 240, 155), got (20, 24, 18)"}
    assert {finding["severity"] for finding in check["findings"][1:]} == {"info"}  # t1ce, t2, flair


def test_entropy_is_returned_for_the_brain_and_each_region(model, registered, scan):
    result = model.predict(pd.DataFrame([row(scan)])).iloc[0]
    expected = load_model(registered.root / "models").predict(dict.fromkeys(MODALITIES, scan)).entropy_bits
    labels = from_scheme(decode_volume(result["segmentation"], name="result").data, LabelScheme.BRATS2021)
    assert result["brain_bits"] == pytest.approx(expected[scan.data > 0].mean(), rel=1e-5)
    assert result["wt_bits"] == pytest.approx(expected[labels > 0].mean(), rel=1e-5)
    assert result["grade_lgg"] is None


def test_confidence_is_returned_with_the_reasons_if_it_is_low(model, registered, scan):
    expected = load_model(registered.root / "models").predict(dict.fromkeys(MODALITIES, scan))
    result = model.predict(pd.DataFrame([row(scan)])).iloc[0]
    for region in REGIONS:
        assert result[f"{region.lower()}_confidence"] == pytest.approx(expected.confidence[region])
    assert result["low_confidence_reasons"] == "; ".join(expected.low_confidence_reasons) != ""


def test_probabilities_are_returned_on_request(model, registered, scan):
    assert not any(name.endswith("_probability") for name in model.predict(pd.DataFrame([row(scan)])))
    result = model.predict(pd.DataFrame([row(scan)]), params={"probabilities": True}).iloc[0]
    images = dict.fromkeys(MODALITIES, scan)
    expected = load_model(registered.root / "models").predict(images).probabilities.on_grid()
    for channel, region in enumerate(("wt", "tc", "et")):
        volume = decode_volume(result[f"{region}_probability"], name=region)
        np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
        np.testing.assert_allclose(volume.data, expected[..., channel], atol=0.5 / 255 + 1e-6)


def test_mirroring_is_a_parameter_or_the_setting_of_the_model(model, scan, monkeypatch):
    seen = []
    predict = Predictor.predict
    monkeypatch.setattr(
        type(model.unwrap_python_model()._predictor),
        "predict",
        lambda self, images: seen.append(self.settings.mirror) or predict(self, images),
    )
    for params in ({"mirror": True}, {"mirror": False}, {}):
        model.predict(pd.DataFrame([row(scan)]), params=params)
    assert seen == [True, False, False]


@pytest.mark.parametrize(
    ("column", "content", "rule", "message"),
    [
        ("t2", b"not NIfTI", "readable", "expected a whole 3D NIfTI file, got not a NIfTI file"),
        ("flair", b"\x1f\x8b", "readable", "expected a whole 3D NIfTI file, got not a complete"),
        ("t1", "a text", "readable", "expected a whole 3D NIfTI file, got str and no bytes"),
    ],
)
def test_a_bad_file_is_named_and_other_rows_are_segmented(model, scan, column, content, rule, message):
    frame = pd.DataFrame([row(scan), row(scan) | {column: content}, row(scan)], index=[7, 3, 5])
    result = model.predict(frame, params={"probabilities": True})
    assert [check["status"] for check in checks(result)] == ["warned", "refused", "warned"]
    worst = checks(result)[1]["findings"][0]
    assert (worst["rule"], worst["field"], worst["severity"]) == (rule, column, "critical")
    assert worst["message"].startswith(message)
    assert result["segmentation"][3] == result["wt_probability"][3] == b""
    assert result["wt_ml"][3] is None
    assert result["segmentation"][7] == result["segmentation"][5] != b""


def test_the_contract_of_the_version_applies(model, scan):
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    thin = encode_volume(Volume(scan.data, Grid(scan.grid.shape, affine)))
    (check,) = checks(model.predict(pd.DataFrame([dict.fromkeys(MODALITIES, thin)])))
    spacing = {"rule": "spacing", "field": "t1", "severity": "critical"}
    message = "expected (1.0, 1.0, 2.0) mm, got (1.0, 1.0, 1.5) mm"
    assert (check["status"], check["findings"][0]) == ("refused", spacing | {"message": message})
    corrupt = scan.data.astype(np.float32)
    corrupt[8, 8, 8] = np.inf
    case = row(scan) | {"t2": encode_volume(Volume(corrupt, scan.grid))}
    (check,) = checks(model.predict(pd.DataFrame([case])))
    infinite = {"rule": "infinite", "field": "t2", "severity": "critical"}
    assert check["findings"][0] == infinite | {"message": "expected 0 voxels, got 1 voxels"}


def test_an_unknown_scheme_is_an_error(model, scan):
    with pytest.raises(MlflowException, match=r"^scheme: expected one of brats2021, .*, got brats1999"):
        model.predict(pd.DataFrame([row(scan)]), params={"scheme": "brats1999"})


def test_a_case_that_the_model_cannot_segment_is_rejected(model, scan, monkeypatch):
    def refuse(*_):
        raise SettingError("inference.memory_gb: expected at least 3 GB, got 1")

    monkeypatch.setattr(type(model.unwrap_python_model()._predictor), "predict", refuse)
    (check,) = checks(model.predict(pd.DataFrame([row(scan)])))
    assert check["status"] == "refused"
    assert check["findings"][0]["rule"] == "prediction"
    assert check["findings"][0]["message"] == "inference.memory_gb: expected at least 3 GB, got 1"


@pytest.mark.parametrize("bug", [lambda *_: 1 / 0, lambda *_: np.zeros(2) + np.zeros(3)])
def test_an_internal_error_is_one_line_without_a_traceback(model, scan, monkeypatch, bug):
    predictor = type(model.unwrap_python_model()._predictor)
    monkeypatch.setattr(predictor, "predict", bug)
    with pytest.raises(MlflowException) as error:
        model.predict(pd.DataFrame([row(scan)]))
    assert error.value.get_http_status_code() == 500
    result = json.loads(error.value.serialize_as_json())
    assert result["message"] == "a case could not be segmented; see the log"
    assert "stack_trace" not in result


def test_without_t1ce_core_and_enhancement_have_no_numbers(model, scan):
    result = model.predict(pd.DataFrame([row(scan)]).drop(columns=["t1ce"])).iloc[0]
    assert result["wt_ml"] is not None
    assert [result[f"{region}_{end}"] for region in ("tc", "et") for end in ("ml", "confidence")] == [
        None
    ] * 4
    assert "ET cannot be judged without T1ce" in result["low_confidence_reasons"]


@pytest.mark.parametrize("cell", [None, float("nan"), b""])
def test_a_modality_may_be_missing(model, registered, scan, cell):
    fewer = {name: scan for name in MODALITIES if name not in ("t2", "flair")}
    expected = load_model(registered.root / "models").segment(fewer)
    columns_missing = pd.DataFrame([row(scan)]).drop(columns=["t2", "flair"])
    cells_missing = pd.DataFrame([row(scan), row(scan) | {"t2": cell, "flair": cell}])
    for result in (model.predict(columns_missing).iloc[0], model.predict(cells_missing).iloc[1]):
        volume = decode_volume(result["segmentation"], name="result")
        np.testing.assert_array_equal(from_scheme(volume.data, LabelScheme.BRATS2021), expected)


def test_a_case_without_modality_is_rejected(model, scan):
    with pytest.raises(MlflowException, match=r"^expected a column of t1, t1ce, t2, flair, got none"):
        model.predict(pd.DataFrame([{"t3": row(scan)["t1"]}]))
    frame = pd.DataFrame([row(scan), row(scan) | dict.fromkeys(MODALITIES, b"")])
    check = checks(model.predict(frame))[1]
    assert check["status"] == "refused"
    assert check["findings"][0]["message"] == "expected at least one of t1, t1ce, t2, flair, got none"


def test_threads_may_call_it_concurrently(model, scan):
    frame = pd.DataFrame([row(scan)])
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.predict(frame)["segmentation"][0], range(8)))
    assert len(set(results)) == 1


OTHER_PROCESS = """
import importlib.util, json, sys
site, store, rows, results = sys.argv[1:]
sys.path.append(site)  # and not what its .pth files name: the checkout
assert importlib.util.find_spec("glioseg") is None
import mlflow, pandas
mlflow.set_tracking_uri(store)
model = mlflow.pyfunc.load_model("models:/glioseg@champion")
frame = pandas.read_parquet(rows)
chunks = [model.predict(frame.iloc[start : start + 2]) for start in range(0, len(frame), 2)]
pandas.concat(chunks).to_parquet(results)
own = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "glioseg"]
print(json.dumps([file for file in own if file]))
"""


def test_another_process_needs_no_checkout_and_may_predict_in_chunks(model, registered, scan, tmp_path):
    """As in Spark: a chunk is a DataFrame, and the last one has a single row, here an invalid one."""
    cases = [row(scan), {"t1ce": row(scan)["t1ce"]}, {"t1": b"no file"}]
    frame = pd.DataFrame(cases, index=list("abc"))
    frame.to_parquet(tmp_path / "rows.parquet")
    files = [str(tmp_path / "rows.parquet"), str(tmp_path / "results.parquet")]
    words = [sys.executable, "-I", "-S", "-c", OTHER_PROCESS, sysconfig.get_path("purelib")]
    done = subprocess.run(
        [*words, registered.tracking_uri, *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = [Path(file) for file in json.loads(done.stdout.splitlines()[-1])]
    assert not [file for file in modules if file.is_relative_to(ROOT)]
    assert third_parties(modules) - OPTIONAL_BACKEND <= {IMPORTED_AS.get(name, name) for name in PACKAGES}
    result = pd.read_parquet(tmp_path / "results.parquet")
    assert result.index.tolist() == ["a", "b", "c"]
    assert [check["status"] for check in checks(result)] == ["warned", "warned", "refused"]
    here = model.predict(frame)
    for case in "ab":
        there, expected = (decode_volume(a["segmentation"][case], name=case).data for a in (result, here))
        assert (there == expected).mean() > 0.999


def third_parties(files):
    """The third-party packages that files import, also inside functions."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {"glioseg"}


def post(address, body, kind="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/invocations", content, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=120) as result:
        return json.load(result, parse_constant=pytest.fail)["predictions"]  # NaN is no JSON


def rejection(address, body, kind="application/json"):
    with pytest.raises(urllib.error.HTTPError) as error:
        post(address, body, kind)
    text = error.value.read().decode()
    assert "Traceback" not in text
    assert "stack_trace" not in text
    return error.value.code, json.loads(text)


def test_mlflows_own_server_needs_no_checkout(registered, scan, expected, tmp_path):
    # Found before the checkout, and after the version's own copy.
    (tmp_path / "glioseg").mkdir()
    (tmp_path / "glioseg" / "__init__.py").write_text("raise ImportError('not the version´s own glioseg')")
    port = free_port()
    words = ["mlflow", "models", "serve", "-m", "models:/glioseg@champion"]
    words += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    places = {"MLFLOW_TRACKING_URI": registered.tracking_uri, "PYTHONPATH": str(tmp_path)}
    with server(words, port=port, ready="ping", **places) as address:
        check_input_formats(address, scan, expected)
        check_rejections(address, scan)


def check_input_formats(address, scan, expected):
    files = {name: base64.b64encode(content).decode() for name, content in row(scan).items()}
    split = {"dataframe_split": {"columns": list(files), "data": [list(files.values())]}}
    buffer = BytesIO()
    pd.DataFrame([row(scan)]).to_parquet(buffer)
    parquet = buffer.getvalue(), "application/vnd.apache.parquet"
    results = [post(address, split), post(address, {"dataframe_records": [files]}), post(address, *parquet)]
    for (result,) in results:
        volume = decode_volume(base64.b64decode(result["segmentation"]), name="result")
        np.testing.assert_array_equal(volume.grid.affine, scan.grid.affine)
        assert (from_scheme(volume.data, LabelScheme.BRATS2021) == expected).mean() > 0.999
        assert set(result) == {"segmentation", *WORDS, *NUMERIC_COLUMNS}
    params = {"scheme": "brats2023", "mirror": True, "probabilities": True}
    subset = {name: files[name] for name in ("t1", "t2")}
    (result,) = post(address, {"dataframe_records": [subset], "params": params})
    assert set(result) == {"segmentation", *WORDS, *NUMERIC_COLUMNS, *PROBABILITIES}
    assert 3 in decode_volume(base64.b64decode(result["segmentation"]), name="result").data


def check_rejections(address, scan):
    good = base64.b64encode(row(scan)["t1"]).decode()
    named = gzip.GzipFile("Doe_John.nii", "wb", fileobj=(buffer := BytesIO()))
    named.write(b"no image")
    named.close()
    bad = base64.b64encode(buffer.getvalue()).decode()
    code, result = rejection(address, {"dataframe_records": [{"t1": bad}]})
    assert code == 400
    assert result["message"].startswith("row 0/t1: readable: expected a whole 3D NIfTI file, got not")
    assert (result["findings"][0]["rule"], result["findings"][0]["field"]) == ("readable", "t1")
    assert "Doe" not in json.dumps(result)
    one, other = post(address, {"dataframe_records": [{"t1": bad}, {"t1": good}]})
    assert (one["segmentation"], one["wt_ml"]) == ("", None)
    assert other["wt_ml"] > 0
    code, result = rejection(address, {"dataframe_records": [{"t1": good}], "params": {"scheme": "x"}})
    assert (code, result["message"][:7]) == (400, "scheme:")
    for nonsense in ({"dataframe_records": [{"t1": 5}]}, {"dataframe_records": [{"t3": good}]}, {}, b"{"):
        assert rejection(address, nonsense)[0] == 400
    assert rejection(address, b"t1\nsome text\n", "text/csv")[0] == 400
