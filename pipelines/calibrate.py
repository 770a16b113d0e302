"""Stage calibrate: choose thresholds and calibration on unseen cases, and log the model to MLflow."""

import json
from functools import partial
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

from _stage import PACKAGE, run, tuned_params
from glioseg.core.files import read_json, replace_folder_atomic, write_atomic
from glioseg.data.store.cropped_cases import open_cases
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.prediction import percent
from glioseg.models.networks.keras_file import FOLDS, load_networks
from glioseg.models.selection.calibrate import calibrate_model
from glioseg.models.selection.unseen_case import left_out_cases, unseen_cases
from glioseg.params.contract import CONTRACT

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
RUN, RECORD = Path("reports/train/run.json"), Path("reports/calibrate/model.json")
NETWORKS, MODEL = Path("models/trained"), Path("models/calibrated")


def main() -> None:
    params = tuned_params()
    network, train, crop, inference = params.network, params.train, params.crop, params.inference
    splits = read_json(SPLITS)
    raw = RAW if crop.on_the_fly else None
    # Predictions are evaluated at 1 mm; if the store has no 1 mm crops, the raw scans are cropped instead.
    raw_1_mm = raw if 1 in crop.spacings_mm else RAW
    open_unseen = partial(open_cases, CROPPED, raw=raw_1_mm)
    cases = unseen_cases(open_unseen(splits["validation"]), load_networks(NETWORKS))
    if train.folds > 1 and not train.ensemble:
        left_out = {name: n for n, fold in enumerate(splits["folds"]) for name in fold["validation"]}
        cases += left_out_cases(open_unseen(list(left_out)), list(left_out.values()), NETWORKS)
    training_cases = open_cases(CROPPED, splits["train"], raw=raw)
    untuned = Settings.untuned(network, train, crop, inference)
    calibrated = calibrate_model(
        cases,
        untuned,
        inference=inference,
        training_cases=training_cases,
        calibrated_on="real" if params.data.scans else "synthetic",
    )
    with replace_folder_atomic(MODEL) as aside:
        copytree(NETWORKS, aside, dirs_exist_ok=True, ignore=ignore_patterns(FOLDS))
        calibrated.save(aside)
        if Path(CONTRACT).exists():
            copy(CONTRACT, aside)
    used = params.model_dump(mode="json", include={"network", "train", "crop", "inference"})
    run_id = read_json(RUN)["run_id"]
    model_id = log_model(
        connect(ProjectStorage.current()),
        ModelFiles(sorted(MODEL.iterdir()), PACKAGE),
        run_id=run_id,
        params=used,
        metrics=calibrated.calibration,
    )
    write_atomic(RECORD, json.dumps({"run_id": run_id, "model_id": model_id}, indent=2).encode() + b"\n")
    print(f"calibrate: {len(cases)} cases that no network was trained on: {_chosen(calibrated)}")


def _chosen(settings: Settings) -> str:
    level = percent(settings.volume_intervals.level) if settings.volume_intervals else None
    return (
        f"probability threshold {settings.threshold:g}, smallest component {settings.min_component_ml:g} ml,"
        f" smallest enhancing tumour {settings.min_et_ml:g} ml;"
        f" {f'{level} volume intervals' if level else 'too few cases for volume intervals'}"
    )


if __name__ == "__main__":
    run(main)
