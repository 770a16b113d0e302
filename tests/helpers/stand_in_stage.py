"""The stages of the stand-in project: `python pipelines/stage.py NAME`."""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, "src")
from glioseg_stand_in import OFFSET

CASES = {"a": 0.5, "b": 0.7, "c": 0.875}
REGIONS = ("WT", "TC", "ET")


def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))


def identity():
    return json.loads(Path("identity.json").read_text())


def acquire():
    head = "case,patient,scheme,grade,age,survival_days,source"
    write("data/raw/cohort.csv", "\n".join([head, *(f"{case},{case},brats2021,,,," for case in CASES)]))
    for case, value in CASES.items():
        write(f"data/raw/{case}/{case}_t1.nii.gz", str(value))


def validate():
    for kind in ("raw", "cropped"):
        report = {"outcome": "passed", "cases": {case: {"status": "accepted"} for case in CASES}}
        write(f"reports/validation/{kind}.json", report | {"stage": kind})


def crop():
    for case, value in CASES.items():
        write(f"data/cropped/{case}/image", str(value))


def split():
    write("data/splits.json", {"train": ["a"], "validation": ["b"], "test": ["c"], "folds": []})


def tune():
    write("reports/tune/best_params.json", {"dropout": 0.25})
    write("reports/tune/study.json", identity()["study"])


def train():
    write("models/trained/model.keras", "8 bytes.")
    write("reports/train/run.json", {"run_id": identity()["run_id"]})


def calibrate():
    settings = {"spacing_mm": 2, "modality_dropout": 0.0}
    settings |= {f"calibration_error_{when}": [0.02, 0.03, 0.04] for when in ("before", "after")}
    write("models/calibrated/model.keras", Path("models/trained/model.keras").read_text())
    write("models/calibrated/settings.json", settings)
    write("reports/calibrate/model.json", {key: identity()[key] for key in ("run_id", "model_id")})


def evaluate():
    time.sleep(float(os.environ.get("STAND_STILL_S", "0")))
    case = json.loads(Path("data/splits.json").read_text())["test"][0]
    dice = float(Path(f"data/raw/{case}/{case}_t1.nii.gz").read_text()) + OFFSET
    dice -= len(Path("models/calibrated/model.keras").read_text()) / 64
    names = [f"dice_{region.lower()}" for region in REGIONS]
    write("reports/per_case.csv", f"case,{','.join(names)}\n{case}," + ",".join([repr(dice)] * 3) + "\n")
    numbers = {region: dict.fromkeys(("mean", "median", "low", "high"), dice) for region in REGIONS}
    measures = dict.fromkeys(("dice", "hd95_area_mm", "lesion_dice"), numbers)
    write("reports/metrics.json", {"cases": 1, **measures})


if __name__ == "__main__":
    globals()[sys.argv[1]]()
