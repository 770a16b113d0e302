"""The stages that talk to MLflow and Optuna, on a cohort of a few voxels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import calibrate
import initial_weights
import register
import train
import tune
from glioseg.cli import app
from glioseg.core.geometry import Box
from glioseg.core.labels import REGIONS, Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.core.settings_file import ParamsError
from glioseg.data.cohort.cases import Case, write_cohort
from glioseg.data.store.cropped_store import write_case
from glioseg.data.store.cropping import Placement
from glioseg.evaluation.cost import Cost
from glioseg.mlops.tracking.fingerprints import metric_code
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.model_uri import RegistryError
from glioseg.mlops.tracking.storage import Lab
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Segmenter
from tests.helpers.models import make_settings

ROOT = Path(__file__).parents[2]
SHAPE = (12, 14, 10)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
SPLITS = {
    "train": ["a", "b"],
    "validation": ["c"],
    "test": ["d"],
    "folds": [{"train": ["b"], "validation": ["a"]}, {"train": ["a"], "validation": ["b"]}],
}
TINY = {
    "network": {"base_filters": 2, "depth": 2, "spacing_mm": 1},
    "train": {"epochs": 2, "steps_per_epoch": 1, "patch_shape": [8, 8, 8], "precision": "float32"},
    "tune": {"trials": 2, "epochs": 1, "steps_per_epoch": 1, "space": {"dropout": {"low": 0.0, "high": 0.3}}},
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Cases whose tumour is a bright block, as `acquire` and `crop` leave them."""
    home, cases = tmp_path_factory.mktemp("cohort"), []
    for index, name in enumerate("abcd"):
        rng = np.random.default_rng(index)
        labels = np.zeros(SHAPE, np.uint8)
        labels[3:9, 3:9, 3:8], labels[4:8, 4:8, 4:7], labels[5:7, 5:7, 5:6] = 2, 3, 1
        image = (100 + 50 * labels + rng.integers(0, 5, SHAPE)).astype(np.int16)
        stacked = np.repeat(image[..., np.newaxis], 4, axis=-1).astype(np.float32) / 100 - 1
        place = Placement(GRID, Box((0, 0, 0), SHAPE))
        write_case(home / "data" / "cropped" / name, stacked, labels, place, spacings_mm=(1,))
        files = {role: home / "data/raw" / name / f"{name}_{role}.nii.gz" for role in (*MODALITIES, "seg")}
        for role, file in files.items():
            seg = np.where(labels == 3, 4, labels).astype(np.uint8)
            write_volume(file, Volume(seg if role == "seg" else image, GRID))
        cases.append(Case(name, files, Scheme.BRATS2021))
    write_cohort(home / "data" / "raw" / "cohort.csv", cases)
    manifest = pd.DataFrame({"case": list("abcd"), "patient": list("abcd"), "grade": "", "survival_days": ""})
    manifest.to_csv(home / "data" / "cropped" / "manifest.csv", index=False)
    (home / "data" / "splits.json").write_text(json.dumps(SPLITS))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in TINY.items():
        params[section] |= values
    params["register"]["builtin"] = False  # these tests count versions of their own
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    return home


@pytest.fixture
def project(cohort, tmp_path, monkeypatch):
    shutil.copytree(cohort, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_json(Path("reports/tune/best_params.json"), {"dropout": 0.2})
    return tmp_path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_tune_searches_and_goes_on_where_it_stopped(project, capsys):
    tune.main()
    best = json.loads(Path("reports/tune/best_params.json").read_text())
    assert best.keys() == {"dropout"}
    assert 0 <= best["dropout"] <= 0.3
    assert {path.name for path in Path("reports/tune").iterdir()} == {
        "best_params.json", "trials.csv", "study.html", "study.json",
    }  # fmt: skip
    client = connect(Lab.here())
    runs = client.search_runs([experiment_id(client, "tune")])
    assert sorted(run.info.run_name for run in runs)[1:] == ["trial 0", "trial 1"]
    default = next(run for run in runs if run.info.run_name == "trial 0")
    assert default.data.params["network.dropout"] == str(
        yaml.safe_load((ROOT / "params.yaml").read_text())["network"]["dropout"]
    )
    assert default.data.params["train.epochs"] == "1"
    capsys.readouterr()
    tune.main()
    assert "1/2" not in capsys.readouterr().out
    assert len(client.search_runs([experiment_id(client, "tune")])) == len(runs)


def test_workers_of_the_command_do_what_is_left_for_the_stage(project, capsys):
    """Limits and the seconds of a case are measured on the networks that the trials trained."""
    limits = {"limits": {"memory_gb": 5, "case_s": 600}, "objectives": ["dice", "case_s"]}
    set_params(tune={"trials": 3, **limits})
    assert CliRunner().invoke(app, ["tune-worker"]).exit_code == 0
    capsys.readouterr()
    tune.main()
    out = capsys.readouterr().out
    assert "3/3 trials are finished" in out
    assert "tune: best Dice" in out
    client = connect(Lab.here())
    runs = client.search_runs([experiment_id(client, "tune")])
    trials = [run for run in runs if "trial" in run.data.tags]
    assert len(trials) == 3
    for run in trials:
        assert 0 < run.data.metrics["case_s"] < 600
        assert run.data.metrics["memory_gb"] == pytest.approx(1.35, abs=0.01)  # the libraries alone
        assert run.data.tags["state"] == "complete"
    assert "Pareto-front" in Path("reports/tune/study.html").read_text()


def test_a_worker_without_trials_or_data_says_so(project):
    set_params(tune={"trials": 0})
    done = CliRunner().invoke(app, ["tune-worker"])
    assert done.exit_code == 1
    assert done.output == "glioseg tune-worker: params.yaml: tune.trials: expected at least 1, got 0\n"
    set_params(tune={"trials": 1})
    Path("data/splits.json").unlink()
    done = CliRunner().invoke(app, ["tune-worker"])
    assert done.exit_code == 1
    assert "data/splits.json" in done.output


def test_a_stopped_training_goes_on_in_its_own_run(project, monkeypatch):
    import glioseg.models.training.cross_validation as folds

    def stop(**given):
        given["on_epoch"](0, {"loss": 1.0, "val_dice": 0.1})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folds, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            train.main()
    train.main()
    client = connect(Lab.here())
    (run,) = client.search_runs([experiment_id(client, "train")])
    assert json.loads(Path("reports/train/run.json").read_text()) == {"run_id": run.info.run_id}
    assert run.info.status == "FINISHED"
    assert run.data.params["train.devices"] == "auto"
    assert (run.data.tags["devices"], run.data.tags["backend"]) == ("1", "tensorflow")
    assert run.data.params["network.dropout"] == "0.2"  # the study's, not that of params.yaml
    history = pd.read_csv("reports/train/history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert {"loss", "val_loss", "val_dice", "val_dice_wt", "learning_rate", "seconds"} <= set(history)
    assert not list(Path("mlruns/state").iterdir())


def test_devices_that_are_not_there_are_missed_before_a_run_is_opened(project):
    set_params(train={"devices": 2, "batch_size": 2})
    for stage in (tune, train):
        with pytest.raises(ParamsError, match=r"train\.devices: expected 2 GPUs .* got 0"):
            stage.main()
    client = connect(Lab.here())
    assert not client.search_runs([experiment_id(client, name) for name in ("tune", "train")])


def test_settling_logs_a_model_that_belongs_to_the_training(project):
    Path("contract.yaml").write_text("spacing: {predict: critical}\n")
    train.main()
    calibrate.main()
    assert Path("models/calibrated/contract.yaml").read_text() == Path("contract.yaml").read_text()
    identity = json.loads(Path("reports/calibrate/model.json").read_text())
    model = connect(Lab.here()).get_logged_model(identity["model_id"])
    assert model.status == "READY"
    assert model.source_run_id == identity["run_id"]
    assert model.params["network.dropout"] == "0.2"
    assert "calibration_error_after_wt" in {metric.key for metric in model.metrics}
    settings = Settings.load(Path("models/calibrated"))
    assert (settings.spacing_mm, settings.multiple, settings.margin_vox) == (1, 2, 1)
    choices = yaml.safe_load((ROOT / "params.yaml").read_text())["inference"]
    assert settings.min_et_ml in choices["min_et_ml"]
    assert settings.min_component_ml in choices["min_component_ml"]
    trained, calibrated = Path("models/trained/model.keras"), Path("models/calibrated/model.keras")
    assert trained.read_bytes() == calibrated.read_bytes()


@pytest.mark.parametrize(("spacings_mm", "raw"), [([1, 2], None), ([2], Path("data/raw"))])
def test_cases_that_the_store_lacks_at_1_mm_are_cropped_from_their_raw_scans(
    project, monkeypatch, spacings_mm, raw
):
    set_params(crop={"spacings_mm": spacings_mm}, network={"spacing_mm": 2})
    asked = []
    monkeypatch.setattr(calibrate, "open_cases", lambda store, names, raw: asked.append((*names, raw)))
    monkeypatch.setattr(calibrate, "load_networks", lambda folder: sys.exit("far enough"))
    with pytest.raises(SystemExit, match="far enough"):
        calibrate.main()
    assert asked == [("c", raw), ("a", "b", None)]


def test_settling_again_logs_another_model_of_the_same_run(project):
    train.main()
    calibrate.main()
    first = json.loads(Path("reports/calibrate/model.json").read_text())
    calibrate.main()
    assert json.loads(Path("reports/calibrate/model.json").read_text()) == first
    set_params(inference={"mirror": False, "memory_gb": 4})
    calibrate.main()
    second = json.loads(Path("reports/calibrate/model.json").read_text())
    assert second["run_id"] == first["run_id"]
    assert second["model_id"] != first["model_id"]
    assert Settings.load(Path("models/calibrated")).memory_gb == 4
    assert connect(Lab.here()).get_logged_model(second["model_id"]).params["inference.memory_gb"] == "4.0"


def set_params(**sections):
    params = yaml.safe_load(Path("params.yaml").read_text())
    for section, values in sections.items():
        params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_cross_validation_trains_a_network_for_each_fold_and_calibrates_their_ensemble(
    project, capsys, monkeypatch
):
    set_params(split={"folds": 2}, train={"folds": 2, "epochs": 1})
    train.main()
    asked, choose = [], calibrate.calibrate_model

    def note(models, cases, settings, *, inference, learned):
        asked.append((len(models), [case.name for case in cases], [case.name for case in learned]))
        return choose(models, cases, settings, inference=inference, learned=learned)

    monkeypatch.setattr(calibrate, "calibrate_model", note)
    calibrate.main()
    assert asked == [(2, ["c"], ["a", "b"])]  # no member has seen c
    assert {path.name for path in Path("models/calibrated").iterdir()} == {
        "model.keras", "model_1.keras", "settings.json",
    }  # fmt: skip
    client = connect(Lab.here())
    runs = {run.info.run_name: run for run in client.search_runs([experiment_id(client, "train")])}
    parent = next(run for name, run in runs.items() if not name.startswith("fold"))
    for fold in ("fold 0", "fold 1"):
        assert runs[fold].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs[fold].info.status == "FINISHED"
        assert 0 <= runs[fold].data.metrics["val_dice"] <= 1
    history = pd.read_csv("reports/train/history.csv")
    assert history[["fold", "epoch"]].to_numpy().tolist() == [[0, 0], [1, 0]]
    mean = history["val_dice"].mean()
    assert f"train: best validation Dice {mean:.3f}" in capsys.readouterr().out
    assert parent.data.metrics["best_val_dice"] == pytest.approx(mean)


def test_training_starts_from_a_registered_model(project, capsys):
    train.main()
    calibrate.main()
    table({"d": 0.8})
    register.main()
    version = connect(Lab.here()).get_model_version_by_alias("glioseg", "champion")
    assert version.tags["trained_run"] == json.loads(Path("reports/train/run.json").read_text())["run_id"]
    capsys.readouterr()
    shutil.rmtree("models")
    set_params(train={"init_from": "models:/glioseg@champion", "learning_rate": 1e-12, "epochs": 1})
    initial_weights.main()
    train.main()
    assert "layers taken, 0 left as they were" in capsys.readouterr().out
    set_params(train={"init_from": "models:/nobody@champion"})
    for stage in (initial_weights, train):
        with pytest.raises(RegistryError, match=r"models:/nobody@champion: not in the registry"):
            stage.main()


def test_training_logs_to_tensorboard_where_it_is_asked_to(project):
    set_params(train={"tensorboard": True, "epochs": 1})
    train.main()
    (training,) = Path("mlruns/tensorboard").iterdir()
    files = {path.relative_to(training).parent for path in training.rglob("events.out.tfevents.*")}
    assert files == {Path("fold0/train"), Path("fold0/validation")}


def test_without_trials_the_settings_of_params_yaml_stand(project, capsys):
    set_params(tune={"trials": 0})
    tune.main()
    assert json.loads(Path("reports/tune/best_params.json").read_text()) == {}
    assert "no trial is asked for" in capsys.readouterr().out


def table(dice):
    """What evaluate leaves for the register stage: the Dice of each test case, the same of each region."""
    mean = float(np.mean(list(dice.values())))
    summary = {"mean": mean, "low": mean, "high": mean, "median": mean}
    write_json(
        Path("reports/metrics.json"),
        dict.fromkeys(("dice", "hd95_mm"), dict.fromkeys(REGIONS, summary))
        | {"calibration_error": {"WT": {"mean": 0.02}, "TC": {"mean": 0.03}, "ET": {"mean": 0.01}}},
    )
    write_json(Path("reports/resources.json"), {"case_s": 3.5, "memory_gb": 2.5})
    write_json(Path("reports/evaluation.json"), {"metric_code_sha256": metric_code()})
    write_json(Path("data/splits.json"), SPLITS | {"test": list(dice)})
    rows = [{"case": case, "dice_wt": d, "dice_tc": d, "dice_et": d} for case, d in dice.items()]
    pd.DataFrame(rows).to_csv("reports/per_case.csv", index=False)


def evaluated(model, case, dice):
    """What calibrate and evaluate leave, for a model of which some bytes are all that is."""
    write_json(Path("reports/calibrate/model.json"), {"run_id": "0" * 32, "model_id": "m-" + "0" * 32})
    table({case: dice})
    folder = Path("models/calibrated")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_text(model)
    (folder / "settings.json").write_text("{}")


def champion():
    return connect(Lab.here()).get_model_version_by_alias("glioseg", "champion").version


def test_register_ends_with_the_table_and_what_to_do_next(project, capsys):
    evaluated("x", "d", 0.81)
    register.main()
    out = capsys.readouterr().out
    assert "register: glioseg version 1 is the champion: the first champion" in out
    for region in REGIONS:
        assert [region, "0.810", "0.810", "to", "0.810", "0.810", "0.8"] in [
            line.split() for line in out.splitlines()
        ]
    for command in ("make ui", "make serve", "glioseg predict", "reports/pictures"):
        assert command in out


def test_registering_again_does_not_even_import_mlflow(project):
    evaluated("x", "d", 0.8)
    register.main()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import register; register.main()"
    code += "; sys.exit('mlflow' in sys.modules or 'pandas' in sys.modules)"
    again = subprocess.run(
        [sys.executable, "-c", code, ROOT / "pipelines"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "register: glioseg version 1 is this model already; the champion is version 1" in again.stdout
    assert len(connect(Lab.here()).search_model_versions("name = 'glioseg'")) == 1


@pytest.mark.parametrize(("dice", "moves"), [(0.6, True), (0.4, False)])
def test_a_champion_of_another_test_split_is_scored_on_the_present_one(project, monkeypatch, dice, moves):
    """The standing champion reaches 0.5 there."""
    evaluated("standing", "d", 0.99)
    register.main()
    evaluated("new", "c", dice)

    def load(folder):
        return Segmenter(((folder / "model.keras").read_text(),), make_settings())

    scored = []

    def score(model, cases):
        assert model.models == ("standing",)
        scored.extend(case.case for case in cases)
        table = pd.DataFrame([{"case": "c", "dice_wt": 0.5, "dice_tc": 0.5, "dice_et": 0.5}])
        return table, [Cost(3.0, 2.0)]

    monkeypatch.setattr("glioseg.models.inference.predictor.load_model", load)
    monkeypatch.setattr("glioseg.evaluation.per_case.evaluate_cases", score)
    register.main()
    assert scored == ["c"]
    assert int(champion()) == (2 if moves else 1)
