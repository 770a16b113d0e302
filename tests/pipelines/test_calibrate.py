"""Stage calibrate on a cohort of a few voxels."""

import json
import sys
from pathlib import Path

import pytest
import yaml

import calibrate
import train
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.inference.model_settings import Settings
from tests.helpers.stages import (
    ROOT,
    set_params,
)


def test_the_logged_model_belongs_to_the_training_run(stage_project):
    Path("contract.yaml").write_text("spacing: {predict: critical}\n")
    train.main()
    calibrate.main()
    assert Path("models/calibrated/contract.yaml").read_text() == Path("contract.yaml").read_text()
    identity = json.loads(Path("reports/calibrate/model.json").read_text())
    model = connect(ProjectStorage.current()).get_logged_model(identity["model_id"])
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
def test_validation_cases_without_1_mm_crops_are_cropped_from_raw_scans(
    stage_project, monkeypatch, spacings_mm, raw
):
    set_params(crop={"spacings_mm": spacings_mm}, network={"spacing_mm": 2})
    calls = []
    monkeypatch.setattr(
        calibrate, "open_cases", lambda store, names, raw: calls.append((*names, raw)) or names
    )
    monkeypatch.setattr(calibrate, "load_networks", lambda folder: ())
    monkeypatch.setattr(calibrate, "calibrate_model", lambda *given, **named: sys.exit("stop here"))
    with pytest.raises(SystemExit, match="stop here"):
        calibrate.main()
    assert calls == [("c", raw), ("a", "b", None)]


def test_other_settings_log_another_model_of_the_same_run(stage_project):
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
    logged = connect(ProjectStorage.current()).get_logged_model(second["model_id"])
    assert logged.params["inference.memory_gb"] == "4.0"
