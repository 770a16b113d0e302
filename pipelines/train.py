"""Stage train: train the network with the best settings."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

from _stage import chosen_cluster, run, tuned_params
from glioseg.core.files import read_json, replaced_whole, write_whole
from glioseg.data.cohort.splits import training_parts
from glioseg.data.store.cropped_store import open_cases
from glioseg.mlops.tracking.fingerprints import training_key
from glioseg.mlops.tracking.initial_weights import noted_digest, noted_weights
from glioseg.mlops.tracking.learning_curve import draw_curves
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tracking.training_run import training_run
from glioseg.models.networks.keras_file import save_networks
from glioseg.models.training.multi_gpu import require_devices, used
from glioseg.models.training.multi_host import join, joined, leads
from glioseg.params.sections import Network

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
NETWORKS, REPORTS = Path("models/trained"), Path("reports/train")


def main() -> None:
    params, lab, cluster = tuned_params(), Lab.here(), chosen_cluster()
    folds = training_parts(read_json(SPLITS), folds=params.train.folds)
    client, init = connect(lab), noted_weights(params.train.init_from)
    settings = params.model_dump(mode="json", include={"network", "train", "crop"})
    settings["train"]["init_sha256"] = noted_digest()
    key, raw = training_key(settings, folds), RAW if params.crop.on_the_fly else None
    counts = [{"train": len(fold["train"]), "validation": len(fold["validation"])} for fold in folds]
    everything = params.model_dump(mode="json", by_alias=True, exclude={"compute"}) | settings
    name, state = name_of(params.network), lab.state(key)
    join(params.train)
    require_devices(params.train.devices)
    from glioseg.models.training.cross_validation import Part, fit_members

    opened = partial(open_cases, CROPPED, raw=raw)
    parts = [Part(opened(fold["train"]), opened(fold["validation"])) for fold in folds]
    learn = partial(fit_members, parts, network=params.network, train=params.train, state=state, init=init)
    if not leads():
        learn(follow=lambda number: nullcontext(lambda epoch, logs: None))
        print("train: done, the first host writes the model")
        return
    with training_run(client, state=state, name=name, params=everything, cases=counts) as log:
        log.mark(used(params.train))
        members = learn(
            follow=partial(log.fold, of=len(folds)),
            tensorboard=lab.tensorboard(key) if params.train.tensorboard else None,
            cluster=cluster if cluster.far and len(folds) > 1 and not joined() else None,
        )
        with replaced_whole(NETWORKS) as aside:
            save_networks(aside, members.networks)
        write_whole(REPORTS / "history.csv", members.history.to_csv(index=False).encode())
        draw_curves(members.history, REPORTS / "curves.png")
        log.save(REPORTS / "run.json")
        log.finish({"best_val_dice": members.validation_dice}, REPORTS)
    print(f"train: best validation Dice {members.validation_dice:.3f} in {len(members.history)} epochs")


def name_of(network: Network) -> str:
    """Short, since MLflow's lists and legends show some twenty letters: filters × depth, at a spacing."""
    return f"{network.architecture} {network.base_filters}×{network.depth}, {network.spacing_mm} mm"


if __name__ == "__main__":
    run(main)
