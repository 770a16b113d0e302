"""The whole pipeline on a tiny cohort in a folder: `dvc repro`, the registry, and `glioseg predict`."""

import json
import sqlite3

import numpy as np
import pytest
import yaml

from glioseg.core.nifti import read_volume
from glioseg.mlops.maintenance.reachable import find_reachable, read_mlflow
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import study_names
from tests.helpers.projects import GRID, SHAPE, command

CASES = 8


@pytest.fixture(scope="module")
def project(reproduced):
    return reproduced


def test_a_champion_is_registered(project):
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as database:
        aliases = database.execute("select name, alias, version from registered_model_aliases").fetchall()
    assert aliases == [("glioseg", "champion", 1)]


def test_every_test_case_has_scores_and_figures(project):
    splits = json.loads((project / "data" / "splits.json").read_text())
    table = (project / "reports" / "per_case.csv").read_text()
    for case in splits["test"]:
        assert case in table
        assert (project / "reports" / "predictions" / f"{case}.nii.gz").is_file()
        assert (project / "reports" / "pictures" / f"{case}.png").is_file()
    assert (project / "reports" / "report.html").is_file()


def test_a_second_run_changes_and_registers_nothing(project):
    again = command(project, "dvc", "repro")
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'inventory':",
        "Running stage 'initial_weights':",
        "Running stage 'register':",
    ]
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as database:
        assert database.execute("select count(*) from model_versions").fetchone() == (1,)


def test_other_inference_settings_do_not_train_again(project):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["inference"]["mirror"] = not params["inference"]["mirror"]
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    again = command(project, "dvc", "repro")
    assert again.returncode == 0, again.stderr
    assert [line.split("'")[1] for line in again.stdout.splitlines() if line.startswith("Running")] == [
        "inventory", "initial_weights", "tune", "calibrate", "evaluate", "register",
    ]  # fmt: skip
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as database:
        versions = database.execute("select run_id, source from model_versions").fetchall()
    assert len({run for run, _ in versions}) == 1
    assert len({source for _, source in versions}) == 2


def aliases(project):
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as database:
        return dict(database.execute("select alias, version from registered_model_aliases"))


def test_the_second_version_has_a_gate_decision_with_reasons(project):
    (table,) = (project / "mlruns").glob("artifacts/train/models/*/artifacts/gate/cases.csv")
    tests = json.loads((project / "data" / "splits.json").read_text())["test"]
    assert len(table.read_text().splitlines()) == 1 + len(tests) * 4
    (evaluated,) = (project / "mlruns").glob("artifacts/evaluate/*/artifacts/gate/cases.csv")
    assert evaluated.read_bytes() == table.read_bytes()


def test_a_version_that_was_rolled_back_is_not_promoted_again(project):
    standing = aliases(project)["champion"]
    other = 3 - standing
    result = command(project, "glioseg", "rollback", "--to", str(other))
    line = f"glioseg: version {other} is the champion, version {standing} is previous\n"
    assert (result.stdout, result.returncode) == (line, 0), result.stderr
    again = command(project, "dvc", "repro")
    assert again.returncode == 0, again.stderr
    assert f"version 2 is this model already; the champion is version {other}" in again.stdout
    assert aliases(project)["champion"] == other


def test_everything_is_referenced_by_the_two_versions(project):
    storage = ProjectStorage(project)
    book = read_mlflow(connect(storage))
    reachable = find_reachable(book)
    assert reachable >= book.runs.keys() | book.models.keys() | set(study_names(storage))
    assert len(study_names(storage)) == 1
    stages = sorted(run.data.tags["stage"] for run in book.runs.values())
    assert stages == ["evaluate", "evaluate", "train", "tune", "tune", "tune"]


def test_no_partial_file_is_left(project):
    assert sorted(path.name for path in (project / "data").iterdir() if path.name != ".gitignore") == [
        ".records",
        "cropped",
        "inventory.csv",
        "raw",
        "splits.json",
    ]


def test_predict_writes_labels_on_the_grid_of_the_scan(project):
    (project / "scans" / "Patient 3" / "Patient 3_seg.nii.gz").unlink()
    one = command(project, "glioseg", "predict", "scans/Patient 3", "-o", "out/seg.nii.gz")
    assert one.returncode == 0, one.stderr
    volume = read_volume(project / "out" / "seg.nii.gz")
    assert volume.data.dtype == np.uint8
    assert set(np.unique(volume.data)) <= {0, 1, 2, 4}
    assert volume.grid.shape == SHAPE
    np.testing.assert_array_equal(volume.grid.affine, GRID.affine)
    many = command(project, "glioseg", "predict", "scans", "-o", "out/all", "--model", "models/calibrated")
    assert many.returncode == 0, many.stderr
    names = [path.name for path in (project / "out" / "all").iterdir()]
    assert len(names) == CASES + 1
    assert "summary.csv" in names


def test_predict_accepts_missing_modalities(project):
    folder = project / "scans" / "Patient 4"
    (folder / "Patient 4_t2.nii.gz").unlink()
    result = command(project, "glioseg", "predict", "scans/Patient 4", "-o", "out/some.nii.gz")
    assert result.returncode == 0, result.stderr
    assert ", missing t2, " in result.stdout.splitlines()[0] + ", "
    assert "the model was trained with train.modality_dropout 0" in result.stderr
    assert read_volume(project / "out" / "some.nii.gz").grid.shape == SHAPE
    for name in ("t1", "t1ce", "flair"):
        (folder / f"Patient 4_{name}.nii.gz").unlink()
    result = command(project, "glioseg", "predict", "scans/Patient 4", "-o", "out/none.nii.gz")
    assert result.returncode == 1
    assert result.stderr.strip().startswith("glioseg predict: Patient 4: no modality: expected at least one")
    assert not (project / "out" / "none.nii.gz").exists()
