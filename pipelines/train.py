"""Stage train: train the network with the best settings, and log it as a model that can be called."""

import json
from pathlib import Path

import pandas as pd

import glioseg
from _stage import run
from glioseg.data.store import StoredCase
from glioseg.files import write_whole
from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import Source
from glioseg.lab.curves import draw_curves
from glioseg.lab.lineage import data_version, sha256
from glioseg.lab.tracking import connect
from glioseg.lab.training_run import training_run
from glioseg.nets.inference import MODEL_FILE, SETTINGS_FILE, Segmenter, Settings, settle
from glioseg.params import load_params, with_best

CROPPED, SPLITS, BEST = Path("data/cropped"), Path("data/splits.json"), Path("reports/tune/best_params.json")
MODELS, REPORTS = Path("models"), Path("reports/train")


def main() -> None:
    params, lab = with_best(load_params(), json.loads(BEST.read_text())), Lab.here()
    network, settings = params.network, params.model_dump(mode="json", include={"network", "train", "crop"})
    splits = json.loads(SPLITS.read_text())
    parts = {part: [StoredCase(CROPPED / case) for case in splits[part]] for part in ("train", "validation")}
    state = lab.state(sha256(json.dumps([settings, splits, data_version()]).encode())[:10])
    name = f"unet {network.base_filters} filters, depth {network.depth}, {network.spacing_mm} mm"
    counts = {part: len(cases) for part, cases in parts.items()}
    with training_run(connect(lab), state=state, name=name, params=settings, cases=counts) as log:
        from glioseg.nets.training import fit

        fitted = fit(
            network=network,
            train=params.train,
            cases=parts["train"],
            validation=parts["validation"],
            state=state / "fit",
            on_epoch=log.epoch,
        )
        MODELS.mkdir(exist_ok=True)
        fitted.model.save(MODELS / MODEL_FILE)
        raw = Settings(network.spacing_mm, 2 ** (network.depth - 1), params.crop.margin_vox, min_et_ml=0.0)
        segmenter = Segmenter(fitted.model, raw)
        settle(segmenter, parts["validation"], choices=params.train.min_et_ml).settings.save(MODELS)
        history = pd.DataFrame(fitted.history).rename_axis("epoch").reset_index()
        write_whole(REPORTS / "history.csv", history.to_csv(index=False).encode())
        draw_curves(history, REPORTS / "curves.png")
        log.save(REPORTS / "run.json")
        log.finish(
            Source([MODELS / MODEL_FILE, MODELS / SETTINGS_FILE], Path(glioseg.__file__).parent), REPORTS
        )
    print(f"train: best validation Dice {history['val_dice'].max():.3f} after {len(history)} epochs")


if __name__ == "__main__":
    run(main)
