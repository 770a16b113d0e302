"""Stage settle: let validation cases choose how the network answers, and log it as a model to call."""

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
from glioseg.models.selection.calibrate import settle
from glioseg.params.contract import CONTRACT

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
RUN, RECORD = Path("reports/train/run.json"), Path("reports/settle/model.json")
NETWORKS, MODEL = Path("models/trained"), Path("models/settled")


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
    settled = settle(load_networks(NETWORKS), unseen, untuned, inference=inference, learned=learned)
    with replaced_whole(MODEL) as aside:
        copytree(NETWORKS, aside, dirs_exist_ok=True)
        settled.save(aside)
        if Path(CONTRACT).exists():
            copy(CONTRACT, aside)
    used = params.model_dump(mode="json", include={"network", "train", "crop", "inference"})
    run_id = read_json(RUN)["run_id"]
    model_id = log_model(
        connect(Lab.here()),
        Source(sorted(MODEL.iterdir()), PACKAGE),
        run_id=run_id,
        params=used,
        metrics=settled.calibration,
    )
    write_whole(RECORD, json.dumps({"run_id": run_id, "model_id": model_id}, indent=2).encode() + b"\n")
    chosen = (
        f"tumour from probability {settled.threshold:g} and {settled.min_component_ml:g} ml on,"
        f" enhancing tumour from {settled.min_et_ml:g} ml on"
    )
    print(f"settle: {len(unseen)} validation cases chose: {chosen}; {_intervals(settled)}")


def _intervals(settled: Settings) -> str:
    if settled.volume_intervals is None:
        return "too few for intervals of volumes"
    return f"{percent(settled.volume_intervals.level)} intervals of volumes"


if __name__ == "__main__":
    run(main)
