"""Trains the pretrained network on labelled real cases: the folds of cross-validation, then all cases."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json, replace_folder_atomic, write_atomic
from glioseg.core.fingerprint import sha256_bytes
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.ingest import labelled_cases
from glioseg.data.store.cropped_cases import MANIFEST, CroppedCase, open_cases, read_table
from glioseg.data.store.cropped_store import store_cohort
from glioseg.mlops.pretraining.phases import REPORTS, current_origin, pretrained_folder
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tracking.training_run import draw_learning_curves, training_run
from glioseg.models.networks.keras_file import FOLDS, load_network, save_networks
from glioseg.models.selection.unseen_case import UnseenCase, left_out_cases
from glioseg.params.pretraining import Pretraining

HISTORY_FILE, ORIGIN_FILE = "history.csv", "origin.json"


@dataclass(frozen=True)
class RealCohort:
    """Labelled real cases from the largest tumour to the smallest, their crops, and hashes of their files.

    `folds`: the number of the fold that leaves a case out; each fold has large and small tumours.
    """

    cases: tuple[Case, ...]
    cropped: tuple[CroppedCase, ...]
    sha256: tuple[str, ...]
    folds: tuple[int, ...]


@dataclass(frozen=True)
class TrainedOnRealCases:
    """The folder of a network that was trained on all cases, and of the networks of the folds.

    It contains `model.keras`, the networks of the folds in `folds/`, and logs and origin of the training.
    """

    folder: Path
    cohort: RealCohort

    @property
    def history(self) -> pd.DataFrame:
        """The logs of all epochs, with column `fold`; the last fold is the training on all cases."""
        return pd.read_csv(self.folder / HISTORY_FILE)

    @property
    def origin(self) -> dict[str, object]:
        """As from `current_origin`."""
        origin: dict[str, object] = read_json(self.folder / ORIGIN_FILE)
        return origin

    def unseen(self) -> list[UnseenCase]:
        """Each case with the network of the fold that left it out."""
        return left_out_cases(self.cohort.cropped, self.cohort.folds, self.folder)


def crop_real_cases(folders: Sequence[Path], plan: Pretraining, storage: ProjectStorage) -> RealCohort:
    """Crop and store labelled cases.

    Args:
        folders: folders with cases, in any layout; cases without a segmentation are ignored.
        plan: margin of the crops, and the number of folds.
        storage: storage of the project.

    Raises:
        GliosegError: there are fewer cases than two for each fold.
    """
    cases, folds = labelled_cases(folders), plan.real.folds
    if len(cases) < 2 * folds:
        raise GliosegError(
            f"pretrain: expected at least {2 * folds} labelled cases for {folds} folds, got {len(cases)}"
        )
    folder = pretrained_folder(storage) / "real_cases"
    store_cohort(
        store := folder / "cropped",
        cases,
        margin_vox=plan.crop.margin_vox,
        spacings_mm=(1, plan.network.spacing_mm),
        records=folder / "cache",
    )
    table = read_table(store / MANIFEST, {"case": str}).set_index("case")
    volume = table[["ncr_vox", "ed_vox", "et_vox"]].sum(axis=1)
    ordered = sorted(cases, key=lambda case: (-volume[case.case], case.case))
    names = [case.case for case in ordered]
    return RealCohort(
        cases=tuple(ordered),
        cropped=tuple(open_cases(store, names, raw=None)),
        sha256=tuple(table["raw_sha256"].loc[names]),
        folds=tuple(place % folds for place in range(len(names))),
    )


def train_on_real_cases(
    plan: Pretraining, cohort: RealCohort, storage: ProjectStorage, *, start: Path
) -> TrainedOnRealCases:
    """Train a network on each fold, and then on all cases; what has been trained is not trained again.

    Each training keeps the weights of its last epoch, since so few validation cases would choose by chance.

    Args:
        plan: the settings.
        cohort: the cases.
        storage: storage of the project; an interrupted training continues.
        start: file with the initial weights.
    """
    real, count = plan.real, len(cohort.cases)
    _, network, train = plan.of_real_cases()
    trained_with = real.model_dump_json(exclude={"inference"})
    settings = [trained_with, network.model_dump_json(), train.model_dump_json()]
    key = sha256_bytes(json.dumps([*settings, cohort.sha256, _weights_hash(start)]).encode())
    done = TrainedOnRealCases(pretrained_folder(storage) / key, cohort)
    if done.folder.exists():
        return done
    from glioseg.models.training.cross_validation import TrainingSplit, fit_splits

    splits = [TrainingSplit(*_without(cohort, fold)) for fold in range(real.folds)]
    splits.append(TrainingSplit(cohort.cropped, cohort.cropped))  # its own validation chooses nothing
    counts = [{"train": len(split.cases), "validation": len(split.validation)} for split in splits]
    state, params = storage.state(key), plan.model_dump(mode="json")
    name = f"built-in, {count} real cases"
    with training_run(connect(storage), state=state, name=name, params=params, cases=counts) as log:
        trained = fit_splits(
            splits,
            network=network,
            train=train,
            state=state,
            epoch_callback=partial(log.fold, folds=real.folds),
            init=start,
        )
        with replace_folder_atomic(done.folder) as aside:
            save_networks(aside, trained.networks[-1:])
            save_networks(aside / FOLDS, trained.networks[:-1])
            write_atomic(aside / HISTORY_FILE, trained.history.to_csv(index=False).encode())
            write_atomic(aside / ORIGIN_FILE, json.dumps(current_origin()).encode())
        draw_learning_curves(trained.history, REPORTS / "curves.png")
        dice = trained.validation_dice[: real.folds]
        log.finish({"best_val_dice": sum(dice) / len(dice)}, REPORTS)
    return done


def _weights_hash(file: Path) -> str:
    """Hash of the weights in half precision, which is the same for their published file, which is rounded."""
    weights = load_network(file, "float32").get_weights()
    return sha256_bytes(b"".join(weight.astype(np.float16).tobytes() for weight in weights))


def _without(cohort: RealCohort, fold: int) -> tuple[list[CroppedCase], list[CroppedCase]]:
    """The cases of all other folds, and those of this fold."""
    pairs = list(zip(cohort.cropped, cohort.folds, strict=True))
    return [case for case, own in pairs if own != fold], [case for case, own in pairs if own == fold]
