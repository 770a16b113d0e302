"""The stage itself, with a made-up cohort and a network that answers by heart."""

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
from glioseg.core.labels import REGIONS, Scheme, regions_from_labels
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case, CohortError, write_cohort
from glioseg.data.store.cropping import Placement
from glioseg.mlops.tracking.fingerprints import metric_code
from glioseg.models.inference.model_cache import KeptModel
from glioseg.models.inference.prediction import Answer, BrainProbabilities, RegionVolume
from tests.helpers.clusters import scheduler, two_workers
from tests.helpers.models import make_settings
from tests.helpers.predicting import stand_in

ROOT = Path(__file__).parents[2]
SHAPE = (30, 34, 28)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
LOAD = KeptModel.load
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
    """Two test cases: the answer misses one and fits the other. Returns what is logged."""
    cases = []
    for name in ("fits", "missed", "for training"):
        files = {
            role: tmp_path / "data" / "raw" / name / f"{name}_{role}.nii.gz" for role in (*MODALITIES, "seg")
        }
        for role, file in files.items():
            truth = np.where(labels(6) == 3, 4, labels(6)).astype(np.uint8)
            image = np.full(SHAPE, 90 if name == "missed" else 80, np.int16) + truth
            write_volume(file, Volume(truth if role == "seg" else image, GRID))
        grade = "LGG" if name == "missed" else "HGG"
        cases.append(Case(name, files, Scheme.BRATS2021, grade=grade, survival_days=KNOWN_DAYS[name]))
    write_cohort(tmp_path / "data" / "raw" / "cohort.csv", cases)
    (tmp_path / "data" / "splits.json").write_text(json.dumps(SPLITS))
    for place, content in (("tune/best_params.json", {"learning_rate": 0.01}), ("calibrate/model.json", RUN)):
        (tmp_path / "reports" / place).parent.mkdir(parents=True)
        (tmp_path / "reports" / place).write_text(json.dumps(content))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    use(monkeypatch, answer)
    logged = []
    monkeypatch.setattr(
        "glioseg.mlops.tracking.mlflow_runs.log_evaluation", lambda **given: logged.append(given)
    )
    return logged


def use(monkeypatch, answer):
    """Let the stage find a model that answers so."""
    model = SimpleNamespace(answer=answer, settings=make_settings())
    monkeypatch.setattr(KeptModel, "load", lambda kept: model)


def answer(images, **outcomes):
    """Finds the tumour where the images are dark, and gives every region a volume of up to 1 ml."""
    found = labels(6) * np.uint8(next(iter(images.values())).data.min() == 80)
    volumes = {region: RegionVolume(0.5, 0.0, 1.0, 0.875) for region in REGIONS}
    sure = regions_from_labels(found).reshape(-1, 3).astype(np.float32)
    said = BrainProbabilities(sure, np.ones(SHAPE, bool), Placement(GRID, Box((0, 0, 0), SHAPE)))
    return Answer(found, np.zeros(SHAPE, np.float32), volumes, said, **outcomes)


def change_params(section, **changes):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(params))


def outs():
    return {path.name for path in Path("reports").iterdir()} - {"tune", "train", "calibrate"}


@pytest.fixture
def here(project):
    """No worker processes: one test that starts them is enough."""
    change_params("compute", cluster="threads")


def test_everything_is_left_where_the_next_stage_looks_for_it(project, capsys):
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
    assert code == {"metric_code_sha256": metric_code()}
    resources = json.loads(Path("reports/resources.json").read_text())
    assert resources.keys() == {"case_s", "memory_gb"}
    assert 0 < resources["case_s"] < 60
    assert 0.05 < resources["memory_gb"] < 64
    assert not {"grade", "survival", "modality_subsets", "risk_coverage"} & set(metrics)
    table = pd.read_csv("reports/per_case.csv")
    assert table["case"].tolist() == ["missed", "fits"]
    assert table["dice_wt"].tolist() == [0, 1]
    assert table["lesion_hd95_wt_mm"].tolist() == [374, 0]
    assert table["high_et_ml"].tolist() == [1, 1]
    assert table["grade"].tolist() == ["LGG", "HGG"]
    assert table["hd95_wt_mm"].tolist() == [pytest.approx(np.linalg.norm(SHAPE)), 0]
    assert {path.name for path in Path("reports/pictures").iterdir()} == {
        f"{case}{end}" for case in ("fits", "missed") for end in (".png", "_truth.gif", "_prediction.gif")
    }
    kept = read_volume(Path("reports/predictions/fits.nii.gz"))
    assert set(np.unique(kept.data)) == {0, 1, 2, 4}
    assert "0.01" in Path("reports/report.html").read_text()
    assert metrics["volume_interval_level"] == 0.875
    printed = capsys.readouterr().out
    assert "true volume in its 88 % interval: WT 2 of 2, TC 2 of 2, ET 2 of 2" in printed
    assert "0.500" in printed
    assert "reports/report.html" in printed


def test_it_is_logged_and_the_same_when_run_again(project, here):
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


def test_outcomes_are_scored_where_the_model_has_them(project, here, monkeypatch):
    def outcomes(images):
        high = images["t1"].data.min() == 80
        return answer(images, grade_lgg=0.2 if high else 0.7, survival_days=210.0 if high else 470.0)

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


def test_confidence_is_judged_where_the_model_has_it(project, here, monkeypatch):
    def doubting(images):
        found = images["t1"].data.min() == 80
        trust = dict.fromkeys(REGIONS, 0.75 if found else 0.25)
        return answer(images, confidence=trust, doubt=() if found else ("WT: expected Dice 0.25",))

    use(monkeypatch, doubting)
    evaluate.main()
    metrics = json.loads(Path("reports/metrics.json").read_text())
    # The surer answer has Dice 1, the other one 0: risks 0 and ½, in no order ½ and ½.
    scores = {"aurc": 0.25, "aurc_ideal": 0.25, "aurc_random": 0.5, "excess": 0.0}
    assert metrics["risk_coverage"]["ET"] == scores | {"expected_dice": 0.5, "off_by": 0.25}
    table = pd.read_csv("reports/per_case.csv")
    assert table["confidence_tc"].tolist() == [0.25, 0.75]
    assert table["doubt"].fillna("").tolist() == ["WT: expected Dice 0.25", ""]
    page = Path("reports/report.html").read_text()
    for words in ("best order", "Expected Dice: WT 0.25", "<b>Low confidence:</b> WT: expected Dice 0.25"):
        assert words in page


def test_subsets_and_imagej_stacks_are_made_on_request(project, here):
    change_params("evaluate", modality_subsets=True, imagej=True)
    evaluate.main()
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert len(metrics["modality_subsets"]) == 15
    full = metrics["modality_subsets"][-1]
    assert full["modalities"] == list(MODALITIES)
    assert full["dice"] == {region: metrics["dice"][region]["mean"] for region in REGIONS} | {"mean": 0.5}
    assert {path.name for path in Path("reports/pictures").glob("*.tif")} == {"fits.tif", "missed.tif"}
    assert "Incomplete scans" in Path("reports/report.html").read_text()


def test_a_cluster_leaves_the_same_bytes(project, here, monkeypatch, tmp_path_factory):
    """Two workers, to which as to this process a formula is a network."""
    monkeypatch.setattr(KeptModel, "load", LOAD)
    stand_in(monkeypatch)
    make_settings().save(Path("models/calibrated"))
    change_params("evaluate", modality_subsets=True)
    evaluate.main()
    first = contents()
    folder = tmp_path_factory.mktemp("dask")
    words = ["--preload", "tests.helpers.stand_in_worker"]
    with scheduler(folder) as address, two_workers(address, folder, words=words):
        monkeypatch.setenv("GLIOSEG_CLUSTER", address)
        evaluate.main()
    assert contents() == first
    cost = json.loads(Path("reports/resources.json").read_text())
    assert cost["case_s"] > 0
    assert 0.05 < cost["memory_gb"] < 64


def contents():
    """All that the stage left but what its answers cost."""
    files = [path for path in Path("reports").rglob("*") if path.is_file() and path.name != "resources.json"]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_case_that_is_gone_is_named(project, part):
    Path("data/splits.json").write_text(json.dumps(SPLITS | {part: ["fits", "gone"]}))
    with pytest.raises(CohortError, match=r"cohort\.csv: expected 2 cases, missing gone"):
        evaluate.main()
    assert outs() == set()


def test_a_failure_leaves_nothing_half_written(project, monkeypatch):
    def fail(images):
        raise ValueError("out of memory")

    use(monkeypatch, fail)
    with pytest.raises(ValueError, match="out of memory"):
        evaluate.main()
    assert outs() == set()
