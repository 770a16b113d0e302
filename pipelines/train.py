"""Stage train: train the network with the best settings, and log it as a model that can be called."""

import json
from functools import partial
from pathlib import Path

import glioseg
from _stage import run
from glioseg.data.splits import Fold, training_parts
from glioseg.data.store import CroppedCase, open_cases
from glioseg.files import replaced_whole, write_whole
from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import Source
from glioseg.lab.curves import draw_curves
from glioseg.lab.lineage import data_version, sha256, sha256_files, training_code
from glioseg.lab.registry import weights_file
from glioseg.lab.tracking import connect
from glioseg.lab.training_run import training_run
from glioseg.nets.inference import save_model
from glioseg.nets.settings import Settings
from glioseg.nets.settling import settle
from glioseg.params import Crop, Network, load_params, with_best

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
BEST, MODELS, REPORTS = Path("reports/tune/best_params.json"), Path("models"), Path("reports/train")
USED = {"network", "train", "inference", "crop"}


def main() -> None:
    params, lab = with_best(load_params(), json.loads(BEST.read_text())), Lab.here()
    folds = training_parts(json.loads(SPLITS.read_text()), folds=params.train.folds)
    client, init = connect(lab), weights_file(params.train.init_from)
    settings = params.model_dump(mode="json", include=USED)
    settings["train"]["init_sha256"] = sha256_files([init]) if init else None
    key = key_of(settings, folds)
    counts = {"train": len(folds[0]["train"]), "validation": len(folds[0]["validation"])}
    name, state = name_of(params.network), lab.state(key)
    with training_run(client, state=state, name=name, params=settings, cases=counts) as log:
        from glioseg.nets.folds import Part, fit_members

        members = fit_members(
            [Part(*(opened(fold[part], params.crop) for part in ("train", "validation"))) for fold in folds],
            network=params.network,
            train=params.train,
            state=state,
            follow=partial(log.fold, of=len(folds)),
            init=init,
            tensorboard=lab.tensorboard(key) if params.train.tensorboard else None,
        )
        untuned = Settings.untuned(params.network, params.train, params.crop, params.inference)
        settled = settle(members.networks, untuned, inference=params.inference)
        with replaced_whole(MODELS) as aside:
            save_model(aside, [model for model, _ in members.networks], settled)
        write_whole(REPORTS / "history.csv", members.history.to_csv(index=False).encode())
        draw_curves(members.history, REPORTS / "curves.png")
        log.save(REPORTS / "run.json")
        log.result({"best_val_dice": members.validation_dice} | settled.calibration)
        log.finish(Source(sorted(MODELS.iterdir()), Path(glioseg.__file__).parent), REPORTS)
    print(f"train: best validation Dice {members.validation_dice:.3f} in {len(members.history)} epochs")


def opened(names: list[str], crop: Crop) -> list[CroppedCase]:
    return open_cases(CROPPED, names, raw=RAW if crop.on_the_fly else None)


def name_of(network: Network) -> str:
    shape = f"{network.base_filters} filters, depth {network.depth}, {network.spacing_mm} mm"
    return f"{network.architecture}, {shape}"


def key_of(settings: dict[str, object], folds: list[Fold]) -> str:
    """What an interrupted training is found again by: all that its weights depend on."""
    decisive = {section: settings[section] for section in settings.keys() - {"inference"}}
    facts = [decisive, folds, data_version(), training_code()]
    return sha256(json.dumps(facts, sort_keys=True).encode())[:10]


if __name__ == "__main__":
    run(main)
