"""Stage calibrate: let validation cases choose thresholds and calibration, and log the model to MLflow."""

import json
from pathlib import Path
from shutil import copy, copytree

from _stage import PACKAGE, run, tuned_params
from glioseg.core.files import read_json, replaced_whole, write_whole
from glioseg.data.store.cropped_store import open_cases
from glioseg.mlops.tracking.candidate import Source
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.prediction import percent
from glioseg.models.networks.keras_file import load_networks
from glioseg.models.selection.calibrate import calibrate_model
from glioseg.params.contract import CONTRACT

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
RUN, RECORD = Path("reports/train/run.json"), Path("reports/calibrate/model.json")
NETWORKS, MODEL = Path("models/trained"), Path("models/calibrated")


def main() -> None:
    params = tuned_params()
    network, train, crop, inference = params.network, params.train, params.crop, params.inference
    splits = read_json(SPLITS)
    raw = RAW if crop.on_the_fly else None
    # Answers are judged at 1 mm: where the store lacks that, these cases are cropped from their raw scans.
    judged = raw if 1 in crop.spacings_mm else RAW
    unseen = open_cases(CROPPED, splits["validation"], raw=judged)
    learned = open_cases(CROPPED, splits["train"], raw=raw)
    untuned = Settings.untuned(network, train, crop, inference)
    calibrated = calibrate_model(
        load_networks(NETWORKS), unseen, untuned, inference=inference, learned=learned
    )
    with replaced_whole(MODEL) as aside:
        copytree(NETWORKS, aside, dirs_exist_ok=True)
        calibrated.save(aside)
        if Path(CONTRACT).exists():
            copy(CONTRACT, aside)
    used = params.model_dump(mode="json", include={"network", "train", "crop", "inference"})
    run_id = read_json(RUN)["run_id"]
    model_id = log_model(
        connect(Lab.here()),
        Source(sorted(MODEL.iterdir()), PACKAGE),
        run_id=run_id,
        params=used,
        metrics=calibrated.calibration,
    )
    write_whole(RECORD, json.dumps({"run_id": run_id, "model_id": model_id}, indent=2).encode() + b"\n")
    chosen = (
        f"tumour from probability {calibrated.threshold:g} and {calibrated.min_component_ml:g} ml on,"
        f" enhancing tumour from {calibrated.min_et_ml:g} ml on"
    )
    print(f"calibrate: {len(unseen)} validation cases chose: {chosen}; {_intervals(calibrated)}")


def _intervals(calibrated: Settings) -> str:
    if calibrated.volume_intervals is None:
        return "too few for intervals of volumes"
    return f"{percent(calibrated.volume_intervals.level)} intervals of volumes"


if __name__ == "__main__":
    run(main)
