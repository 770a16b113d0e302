"""Stage evaluate, with a small cohort and a model with fixed predictions."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

import evaluate
from glioseg.core.geometry import Box
from glioseg.core.labels import REGIONS, LabelScheme, regions_from_labels
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case, CohortError, write_cohort
from glioseg.data.store.cropping import Placement
from glioseg.mlops.tracking.run_tags import metric_code_fingerprint
from glioseg.models.inference.loading import CachedModel
from glioseg.models.inference.prediction import BrainProbabilities, Prediction, RegionVolume
from tests.helpers.clusters import scheduler, two_workers
from tests.helpers.models import make_settings
from tests.helpers.predicting import use_formula

ROOT = Path(__file__).parents[2]
SHAPE = (30, 34, 28)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
LOAD = CachedModel.load
RUN = {"run_id": "run-1", "model_id": "model-1"}
FILES = {"metrics.json", "per_case.csv", "report.html", "scores.json"}
SPLITS = {"train": ["for training"], "test": ["fits", "missed"]}
KNOWN_DAYS = {"fits": 200.0, "missed": 500.0, "for training": 350.0}
OUTS = FILES | {"evaluation.json", "pictures", "predictions", "resources.json"}


def labels(radius_vox):
    distance = np.linalg.norm(np.stack(np.indices(SHAPE), axis=-1) - np.array([12, 14, 16]), axis=-1)
    reach = [distance <= radius_vox - step for step in (2, 1, 0)]
    return np.select(reach, [1, 3, 2], 0).astype(np.uint8)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two test cases: the prediction misses one and matches the other. Returns what is logged."""
    cases = []
    for name in ("fits", "missed", "for training"):
        files = {
            role: tmp_path / "data" / "raw" / name / f"{name}_{role}.nii.gz" for role in (*MODALITIES, "seg")
        }
        for role, file in files.items():
            truth = np.where(labels(6) == 3, 4, labels(6)).astype(np.uint8)
            image = np.full(SHAPE, 90 if name == "missed" else 80, np.int16) + truth
            image[0] = image[-1] = 0  # background
            write_volume(file, Volume(truth if role == "seg" else image, GRID))
        grade = "LGG" if name == "missed" else "HGG"
        cases.append(Case(name, files, LabelScheme.BRATS2021, grade=grade, survival_days=KNOWN_DAYS[name]))
    write_cohort(tmp_path / "data" / "raw" / "cohort.csv", cases)
    (tmp_path / "data" / "splits.json").write_text(json.dumps(SPLITS))
    for place, content in (("tune/best_params.json", {"learning_rate": 0.01}), ("calibrate/model.json", RUN)):
        (tmp_path / "reports" / place).parent.mkdir(parents=True)
        (tmp_path / "reports" / place).write_text(json.dumps(content))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    use(monkeypatch, predict)
    logged = []
    monkeypatch.setattr(
        "glioseg.mlops.tracking.mlflow_runs.log_evaluation", lambda **given: logged.append(given)
    )
    return logged


def use(monkeypatch, predict):
    """Make the stage load a model with this `predict`."""
    model = SimpleNamespace(predict=predict, settings=make_settings())
    monkeypatch.setattr(CachedModel, "load", lambda self: model)


def predict(images, **outcomes):
    """A prediction with the tumour in dark images, and with intervals up to 1 ml."""
    found = labels(6) * np.uint8(next(iter(images.values())).data.max() == 84)
    volumes = {region: RegionVolume(0.5, 0.0, 1.0, 0.875) for region in REGIONS}
    sure = regions_from_labels(found).reshape(-1, 3).astype(np.float32)
    probabilities = BrainProbabilities(sure, np.ones(SHAPE, bool), Placement(GRID, Box((0, 0, 0), SHAPE)))
    return Prediction(found, np.zeros(SHAPE, np.float32), volumes, probabilities, **outcomes)


def change_params(section, **changes):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(params))


def outs():
    return {path.name for path in Path("reports").iterdir()} - {"tune", "train", "calibrate"}


@pytest.fixture
def here(project):
    """A project without worker processes: one test that starts them is enough."""
    change_params("compute", cluster="threads")


def test_all_outputs_are_written(project, capsys):
    evaluate.main()
    assert outs() == OUTS
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert metrics["cases"] == 2
    for region in REGIONS:
        assert metrics["dice"][region]["mean"] == 0.5
        assert (metrics["dice"][region]["low"], metrics["dice"][region]["high"]) == (0, 1)
        assert metrics["lesion_dice"][region]["mean"] == 0.5
        assert metrics["volume_interval_coverage"][region] == 1
    # The case that is missed lacks its whole tumour, with certainty; the other one is right.
    missed = np.count_nonzero(labels(6)) / labels(6).size
    assert metrics["calibration_error"]["WT"]["mean"] == pytest.approx(missed / 2)
    code = json.loads(Path("reports/evaluation.json").read_text())
    assert code == {"metric_code_sha256": metric_code_fingerprint()}
    resources = json.loads(Path("reports/resources.json").read_text())
    assert resources.keys() == {"case_s", "memory_gb"}
    assert 0 < resources["case_s"] < 60
    assert 0.05 < resources["memory_gb"] < 64
    assert not {"grade", "survival", "modality_subsets", "risk_coverage"} & set(metrics)
    table = pd.read_csv("reports/per_case.csv")
    assert table["case"].tolist() == ["missed", "fits"]
    assert table["dice_wt"].tolist() == [0, 1]
    assert table["lesion_hd95_area_wt_mm"].tolist() == [374, 0]
    assert table["high_et_ml"].tolist() == [1, 1]
    assert table["grade"].tolist() == ["LGG", "HGG"]
    assert table["hd95_area_wt_mm"].tolist() == [pytest.approx(np.linalg.norm(SHAPE)), 0]
    assert {path.name for path in Path("reports/pictures").iterdir()} == {
        f"{case}{end}" for case in ("fits", "missed") for end in (".png", "_truth.gif", "_prediction.gif")
    }
    labels_on_disk = read_volume(Path("reports/predictions/fits.nii.gz"))
    assert set(np.unique(labels_on_disk.data)) == {0, 1, 2, 4}
    assert "0.01" in Path("reports/report.html").read_text()
    assert metrics["volume_interval_level"] == 0.875
    printed = capsys.readouterr().out
    assert "true volume in its 88 % interval: WT 2 of 2, TC 2 of 2, ET 2 of 2" in printed
    assert "0.500" in printed
    assert "reports/report.html" in printed


def test_a_second_run_logs_and_writes_the_same(project, here):
    evaluate.main()
    first = {name: Path("reports", name).read_bytes() for name in FILES}
    evaluate.main()
    assert {name: Path("reports", name).read_bytes() for name in FILES} == first
    assert len(project) == 2
    resources = json.loads(Path("reports/resources.json").read_text())
    assert project[1]["metrics"] == json.loads(first["metrics.json"]) | resources
    for given in project:  # seconds and memory vary
        given["metrics"] = {name: value for name, value in given["metrics"].items() if name not in resources}
    assert project[0] == project[1]
    assert project[0]["run"] == RUN
    assert {Path("reports/report.html"), Path("reports/pictures/fits.png")} <= set(project[0]["files"])


def test_grade_and_survival_are_scored_if_the_model_predicts_them(project, here, monkeypatch):
    def outcomes(images):
        high = images["t1"].data.max() == 84
        return predict(images, grade_lgg=0.2 if high else 0.7, survival_days=210.0 if high else 470.0)

    use(monkeypatch, outcomes)
    evaluate.main()
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert (metrics["grade"]["cases"], metrics["grade"]["auc"]) == (2, 1)
    survival = metrics["survival"]
    # Errors of 10 and 30 days; the one training case lived 350: mid, 150 days off both.
    assert (survival["accuracy"], survival["mse_days2"]) == (1, 500)
    assert survival["spearman"] == pytest.approx(1)
    assert (survival["baseline"]["accuracy"], survival["baseline"]["mse_days2"]) == (0, 22500)
    table = pd.read_csv("reports/per_case.csv")
    assert table["survival_days_predicted"].tolist() == [470, 210]
    assert "truth HGG" in Path("reports/report.html").read_text()


def test_confidence_is_evaluated_if_the_model_estimates_it(project, here, monkeypatch):
    def estimating(images):
        found = images["t1"].data.max() == 84
        trust = dict.fromkeys(REGIONS, 0.75 if found else 0.25)
        return predict(
            images, confidence=trust, low_confidence_reasons=() if found else ("WT: expected Dice 0.25",)
        )

    use(monkeypatch, estimating)
    evaluate.main()
    metrics = json.loads(Path("reports/metrics.json").read_text())
    # The prediction with higher confidence has Dice 1, the other one 0: risks 0 and ½; at random ½ and ½.
    scores = {"aurc": 0.25, "aurc_ideal": 0.25, "aurc_random": 0.5, "excess": 0.0}
    assert metrics["risk_coverage"]["ET"] == scores | {"expected_dice": 0.5, "mean_absolute_error": 0.25}
    table = pd.read_csv("reports/per_case.csv")
    assert table["confidence_tc"].tolist() == [0.25, 0.75]
    assert table["low_confidence_reasons"].fillna("").tolist() == ["WT: expected Dice 0.25", ""]
    page = Path("reports/report.html").read_text()
    for words in ("ideal order", "Expected Dice: WT 0.25", "<b>Low confidence:</b> WT: expected Dice 0.25"):
        assert words in page


def test_modality_subsets_and_imagej_stacks_are_written_on_request(project, here):
    change_params("evaluate", modality_subsets=True, imagej=True)
    evaluate.main()
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert len(metrics["modality_subsets"]) == 15
    full = metrics["modality_subsets"][-1]
    assert full["modalities"] == list(MODALITIES)
    assert full["dice"] == {region: metrics["dice"][region]["mean"] for region in REGIONS} | {"mean": 0.5}
    assert {path.name for path in Path("reports/pictures").glob("*.tif")} == {"fits.tif", "missed.tif"}
    assert "Incomplete scans" in Path("reports/report.html").read_text()


def test_a_cluster_writes_the_same_bytes(project, here, monkeypatch, tmp_path_factory):
    """Two workers that load a formula in place of a network, as this process does."""
    monkeypatch.setattr(CachedModel, "load", LOAD)
    use_formula(monkeypatch)
    make_settings().save(Path("models/calibrated"))
    change_params("evaluate", modality_subsets=True)
    evaluate.main()
    first = contents()
    folder = tmp_path_factory.mktemp("dask")
    words = ["--preload", "tests.helpers.formula_worker"]
    with scheduler(folder) as address, two_workers(address, folder, words=words):
        monkeypatch.setenv("GLIOSEG_CLUSTER", address)
        evaluate.main()
    assert contents() == first
    cost = json.loads(Path("reports/resources.json").read_text())
    assert cost["case_s"] > 0
    assert 0.05 < cost["memory_gb"] < 64


def contents():
    """All outputs of the stage except the costs of the predictions."""
    files = [path for path in Path("reports").rglob("*") if path.is_file() and path.name != "resources.json"]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_case_is_named(project, part):
    Path("data/splits.json").write_text(json.dumps(SPLITS | {part: ["fits", "gone"]}))
    with pytest.raises(CohortError, match=r"cohort\.csv: expected 2 cases, missing gone"):
        evaluate.main()
    assert outs() == set()


def test_a_failure_leaves_no_partial_output(project, monkeypatch):
    def fail(images):
        raise ValueError("out of memory")

    use(monkeypatch, fail)
    with pytest.raises(ValueError, match="out of memory"):
        evaluate.main()
    assert outs() == set()
