import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glioseg.compute import Cluster
from glioseg.core.labels import LabelScheme
from glioseg.core.nifti import Grid, Volume, read_volume
from glioseg.evaluation.per_case import (
    Cost,
    EvaluationError,
    evaluate_cases,
    measure_case,
    measure_cases,
    peak_memory_gb,
    predict_cases,
    predict_with_cost,
    reset_peak_memory,
    summarise_costs,
)

RAS = np.diag([1.0, 1, 1, 1])
LOCAL_THREADS = Cluster("threads")
"""No worker processes: starting them costs more than these cases do."""


def test_a_perfect_prediction_scores_1_in_both_schemes(write_case, scan, model_of):
    cases = [write_case("old"), write_case("new", LabelScheme.BRATS2023)]
    table, _ = evaluate_cases(model_of(scan.labels["truth"]), cases, cluster=LOCAL_THREADS)
    assert sorted(table["case"]) == ["new", "old"]
    assert (table["mean_dice"] == 1).all()
    assert (table["hd95_area_wt_mm"] == 0).all()


@pytest.mark.parametrize(("scheme", "et"), [(LabelScheme.BRATS2021, 4), (LabelScheme.BRATS2023, 3)])
def test_predictions_are_written_in_the_case_s_own_scheme_and_grid(
    write_case, tmp_path, scan, model_of, scheme, et
):
    case = write_case("one", scheme, affine=RAS)
    predict_cases(model_of(scan.labels["prediction"]), [case], tmp_path / "out")
    written = read_volume(tmp_path / "out" / "one.nii.gz")
    assert set(np.unique(written.data)) == {0, 1, 2, et}
    np.testing.assert_array_equal(written.grid.affine, RAS)


def test_the_model_gets_the_four_images(write_case, tmp_path, scan, model_of):
    seen = []
    predict = model_of(scan.labels["truth"]).predict
    model = SimpleNamespace(predict=lambda images: seen.append(sorted(images)) or predict(images))
    predict_cases(model, [write_case("one")], tmp_path)
    assert seen == [["flair", "t1", "t1ce", "t2"]]


def test_the_worst_case_comes_first(write_case, tmp_path, scan, model_of):
    cases = [write_case(name) for name in ("good", "missed", "poor")]
    labels = iter([scan.labels["truth"], scan.labels["truth"] * np.uint8(0), scan.labels["prediction"]])
    model = SimpleNamespace(predict=lambda images: model_of(next(labels)).predict(images))
    predicted, _ = predict_cases(model, cases, tmp_path / "out")
    table = measure_cases(
        cases, predicted, predictions=tmp_path / "out", pictures=None, cluster=LOCAL_THREADS
    )
    assert table["case"].tolist() == ["missed", "poor", "good"]
    assert table["mean_dice"].is_monotonic_increasing
    assert table.drop(columns=["grade", "survival_days"]).notna().all(axis=None)


def test_the_table_has_intervals_and_outcomes_with_their_truth(write_case, tmp_path, scan, model_of):
    cases = [replace(write_case("known"), grade="LGG", survival_days=400.0), write_case("unknown")]
    model = model_of(scan.labels["truth"], low_ml=1.0, high_ml=2.5, grade_lgg=0.75, survival_days=365.0)
    table = predict_cases(model, cases, tmp_path)[0].set_index("case")
    assert set(table) == {
        "interval_level",
        *(f"{end}_{region}_ml" for end in ("low", "high") for region in ("wt", "tc", "et")),
        *(f"calibration_error_{region}" for region in ("wt", "tc", "et")),
        *("grade", "survival_days", "grade_lgg", "survival_days_predicted"),
    }  # fmt: skip
    assert (table.loc["known", "low_et_ml"], table.loc["known", "high_et_ml"]) == (1, 2.5)
    assert (table["interval_level"] == 0.875).all()
    assert (table.loc["known", "grade"], table.loc["known", "survival_days"]) == ("LGG", 400)
    assert (table["grade_lgg"] == 0.75).all()
    assert (table["survival_days_predicted"] == 365).all()
    assert table.loc["unknown", ["grade", "survival_days"]].isna().all()


def test_a_model_without_outcomes_has_no_columns_for_them(write_case, tmp_path, scan, model_of):
    table, _ = predict_cases(model_of(scan.labels["truth"]), [write_case("one")], tmp_path)
    assert not {"grade_lgg", "survival_days_predicted"} & set(table)


def test_a_model_without_intervals_has_no_columns_for_them(write_case, tmp_path, scan, model_of):
    table, _ = predict_cases(model_of(scan.labels["truth"], level=None), [write_case("one")], tmp_path)
    assert not [name for name in table if name.startswith(("low_", "high_", "interval"))]


@pytest.mark.parametrize("affine", [None, RAS], ids=["LPS", "RAS"])
def test_calibration_errors_are_computed_against_the_truth(write_case, tmp_path, scan, model_of, affine):
    """A model with probability 0.9 that is never wrong has an error of 0.1 everywhere."""
    table, _ = predict_cases(
        model_of(scan.labels["truth"], sure=0.9), [write_case("one", affine=affine)], tmp_path
    )
    for region in ("wt", "tc", "et"):
        assert table[f"calibration_error_{region}"].tolist() == [pytest.approx(0.1)]


@pytest.mark.parametrize("imagej", [False, True])
def test_a_case_is_drawn(write_case, tmp_path, scan, model_of, imagej):
    case = write_case("one")
    predict_cases(model_of(scan.labels["prediction"]), [case], tmp_path / "out")
    measure_case(case, predictions=tmp_path / "out", pictures=tmp_path / "pictures", imagej=imagej)
    names = {path.name: path.stat().st_size for path in (tmp_path / "pictures").iterdir()}
    drawn = {"one.png", "one_truth.gif", "one_prediction.gif"}
    assert set(names) == drawn | ({"one.tif"} if imagej else set())
    for name in drawn:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert min(picture.size) > 100
            assert picture.convert("L").getextrema()[1] > 100


def test_no_case_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="expected at least one case, got none"):
        predict_cases(SimpleNamespace(predict=None), [], tmp_path)


def test_the_error_names_a_case_without_truth(write_case, tmp_path):
    case = write_case("one")
    bare = replace(case, files={role: file for role, file in case.files.items() if role != "seg"})
    with pytest.raises(EvaluationError, match="one: expected a file for each role, missing seg"):
        predict_cases(SimpleNamespace(predict=None), [bare], tmp_path)


def test_a_slow_first_case_does_not_change_the_median(monkeypatch, scan, model_of):
    images = {"t1": Volume(scan.labels["truth"], Grid(scan.labels["truth"].shape, np.diag([-1.0, -1, 1, 1])))}
    predict = model_of(scan.labels["truth"]).predict
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 23.0])  # 9, 2 and 3 seconds
    monkeypatch.setattr("glioseg.evaluation.per_case.perf_counter", lambda: next(clock))
    costs = []
    for _ in range(3):
        prediction, cost = predict_with_cost(predict, images)
        assert prediction.volumes == predict(images).volumes
        costs.append(cost)
    assert summarise_costs(costs)["case_s"] == 3


def test_memory_is_the_largest_peak_of_several_workers():
    costs = [Cost(1.0, 2.5), Cost(9.0, 3.25), Cost(2.0, 3.0)]
    assert summarise_costs(costs) == {"case_s": 2.0, "memory_gb": 3.25}


def test_macos_has_no_proc_and_reports_bytes(monkeypatch, tmp_path):
    for file in ("PROC_STATUS", "PROC_CLEAR_REFS"):
        monkeypatch.setattr(f"glioseg.evaluation.per_case.{file}", tmp_path / "none" / file)
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=2_500_000_000))
    reset_peak_memory()
    assert peak_memory_gb() == 2.5


def test_freed_memory_counts_in_the_peak():
    code = """
import numpy as np
from glioseg.core.nifti import Grid, Volume
from glioseg.evaluation.per_case import peak_memory_gb
before = peak_memory_gb()
block = np.ones(50_000_000)  # 0.4 GB
del block
print(before, peak_memory_gb())
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(float, out.split())
    assert 0.3 < after - before < 0.5
