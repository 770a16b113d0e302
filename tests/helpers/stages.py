"""A small cohort for tests of single stages, and the outputs of earlier stages."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from glioseg.core.labels import REGIONS
from glioseg.core.nifti import Grid
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.run_tags import metric_code_fingerprint
from glioseg.mlops.tracking.storage import ProjectStorage

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


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def set_params(**sections):
    params = yaml.safe_load(Path("params.yaml").read_text())
    for section, values in sections.items():
        params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def write_evaluation(dice):
    """Write the outputs of evaluate: the Dice of each test case, the same for each region."""
    mean = float(np.mean(list(dice.values())))
    summary = {"mean": mean, "low": mean, "high": mean, "median": mean}
    write_json(
        Path("reports/metrics.json"),
        dict.fromkeys(("dice", "hd95_area_mm"), dict.fromkeys(REGIONS, summary))
        | {"calibration_error": {"WT": {"mean": 0.02}, "TC": {"mean": 0.03}, "ET": {"mean": 0.01}}},
    )
    write_json(Path("reports/resources.json"), {"case_s": 3.5, "memory_gb": 2.5})
    write_json(Path("reports/evaluation.json"), {"metric_code_sha256": metric_code_fingerprint()})
    write_json(Path("data/splits.json"), SPLITS | {"test": list(dice)})
    rows = [{"case": case, "dice_wt": d, "dice_tc": d, "dice_et": d} for case, d in dice.items()]
    pd.DataFrame(rows).to_csv("reports/per_case.csv", index=False)


def write_evaluated_model(model, case, dice):
    """Write the outputs of calibrate and evaluate for a model file with some text."""
    write_json(Path("reports/calibrate/model.json"), {"run_id": "0" * 32, "model_id": "m-" + "0" * 32})
    write_evaluation({case: dice})
    folder = Path("models/calibrated")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_text(model)
    (folder / "settings.json").write_text("{}")


def champion():
    return connect(ProjectStorage.current()).get_model_version_by_alias("glioseg", "champion").version
