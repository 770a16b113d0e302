"""Stage train: train the network, and those of the folds of cross-validation, with the tuned settings."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean

from _stage import configured_cluster, run, tuned_params
from glioseg.core.files import read_json, replace_folder_atomic, write_atomic
from glioseg.data.cohort.splits import training_parts
from glioseg.data.store.cropped_cases import open_cases
from glioseg.mlops.tracking.initial_weights import recorded_hash, recorded_weights
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.run_tags import training_key
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import draw_learning_curves, run_name, training_run
from glioseg.models.networks.keras_file import FOLDS, save_networks
from glioseg.models.training.distributed import (
    device_tags,
    is_distributed,
    is_main_host,
    join_hosts,
    require_devices,
)
from glioseg.params.presets import detect_preset

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
NETWORKS, REPORTS = Path("models/trained"), Path("reports/train")


def main() -> None:
    params, storage, cluster = tuned_params(), ProjectStorage.current(), configured_cluster()
    train, folds = params.train, params.train.folds if params.train.folds > 1 else 0
    parts = training_parts(read_json(SPLITS), folds=train.folds, ensemble=train.ensemble)
    client, init = connect(storage), recorded_weights(train.init_from)
    settings = params.model_dump(mode="json", include={"network", "train", "crop"})
    settings["train"]["init_sha256"] = recorded_hash()
    key, raw = training_key(settings, parts), RAW if params.crop.on_the_fly else None
    counts = [{"train": len(part["train"]), "validation": len(part["validation"])} for part in parts]
    logged = params.model_dump(mode="json", by_alias=True, exclude={"compute"}) | settings
    name, state = run_name(params, preset=detect_preset(Path("params.yaml")), key=key), storage.state(key)
    join_hosts(train)
    require_devices(train.devices)
    from glioseg.models.training.cross_validation import TrainingSplit, fit_splits

    open_part = partial(open_cases, CROPPED, raw=raw)
    splits = [TrainingSplit(open_part(part["train"]), open_part(part["validation"]), init) for part in parts]
    fit = partial(fit_splits, splits, network=params.network, train=train, state=state)
    if not is_main_host():
        fit(epoch_callback=lambda number: nullcontext(lambda epoch, logs: None))
        print("train: done; the first host writes the model")
        return
    with training_run(client, state=state, name=name, params=logged, cases=counts) as log:
        log.set_tags(device_tags(train))
        trained = fit(
            epoch_callback=partial(log.fold, folds=folds),
            tensorboard=storage.tensorboard(key) if train.tensorboard else None,
            cluster=cluster if cluster.is_remote and len(parts) > 1 and not is_distributed() else None,
        )
        first = 0 if train.ensemble else folds
        with replace_folder_atomic(NETWORKS) as aside:
            save_networks(aside, trained.networks[first:])
            if first:
                save_networks(aside / FOLDS, trained.networks[:first])
        write_atomic(REPORTS / "history.csv", trained.history.to_csv(index=False).encode())
        draw_learning_curves(trained.history, REPORTS / "curves.png")
        log.save(REPORTS / "run.json")
        dice = fmean(trained.validation_dice[: folds or None])
        log.finish({"best_val_dice": dice}, REPORTS)
    print(f"train: best validation Dice {dice:.3f} in {len(trained.history)} epochs")


if __name__ == "__main__":
    run(main)
