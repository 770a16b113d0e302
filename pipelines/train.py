"""Stage train: train the network with the best settings, and log it as a model that can be called."""

import json
from functools import partial
from pathlib import Path

import glioseg
from _stage import run
from glioseg.data.splits import training_parts
from glioseg.data.store import open_cases
from glioseg.files import replaced_whole, write_whole
from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import Source
from glioseg.lab.curves import draw_curves
from glioseg.lab.lineage import data_version, sha256
from glioseg.lab.registry import weights_file
from glioseg.lab.tracking import connect
from glioseg.lab.training_run import training_run
from glioseg.nets.inference import save_model
from glioseg.nets.settings import Settings
from glioseg.nets.settling import settle
from glioseg.params import load_params, with_best

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
BEST, MODELS, REPORTS = Path("reports/tune/best_params.json"), Path("models"), Path("reports/train")
USED = {"network", "train", "inference", "crop"}


def main() -> None:
    params, lab = with_best(load_params(), json.loads(BEST.read_text())), Lab.here()
    network, train, settings = params.network, params.train, params.model_dump(mode="json", include=USED)
    splits = json.loads(SPLITS.read_text())
    key = sha256(json.dumps([settings, splits, data_version()]).encode())[:10]
    raw = RAW if params.crop.on_the_fly else None
    folds = training_parts(splits, folds=train.folds)
    counts = {"train": len(folds[0]["train"]), "validation": len(folds[0]["validation"])}
    shape = f"{network.base_filters} filters, depth {network.depth}, {network.spacing_mm} mm"
    client, state = connect(lab), lab.state(key)
    init = weights_file(train.init_from) if train.init_from else None
    with training_run(
        client, state=state, name=f"{network.architecture}, {shape}", params=settings, cases=counts
    ) as log:
        from glioseg.nets.folds import Part, fit_members

        members = fit_members(
            [
                Part(*(open_cases(CROPPED, fold[p], raw=raw) for p in ("train", "validation")))
                for fold in folds
            ],
            network=network,
            train=train,
            state=state,
            follow=partial(log.fold, of=len(folds)),
            init=init,
            tensorboard=lab.tensorboard(key) if train.tensorboard else None,
        )
        with replaced_whole(MODELS) as aside:
            untuned = Settings.untuned(network, train, params.crop, params.inference)
            settled = settle(members.networks, untuned, inference=params.inference)
            save_model(aside, [model for model, _ in members.networks], settled)
        write_whole(REPORTS / "history.csv", members.history.to_csv(index=False).encode())
        draw_curves(members.history, REPORTS / "curves.png")
        log.save(REPORTS / "run.json")
        log.result(members.validation_dice)
        log.finish(Source(sorted(MODELS.iterdir()), Path(glioseg.__file__).parent), REPORTS)
    print(f"train: best validation Dice {members.validation_dice:.3f} in {len(members.history)} epochs")


if __name__ == "__main__":
    run(main)
