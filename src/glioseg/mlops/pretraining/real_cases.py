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
from glioseg.models.networks.keras_file import FOLDS, MODEL_FILE, load_network, network_files, save_networks
from glioseg.models.selection.unseen_case import UnseenCase, left_out_cases
from glioseg.params.pretraining import Phase, Pretraining

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

    It contains `model.keras` and, in `folds/`, the networks of the folds. `history` has the logs of all
    epochs, with columns `phase` and `fold`; the last fold is the training on all cases. `origins` has the
    result of `current_origin` for each phase.
    """

    folder: Path
    cohort: RealCohort
    history: pd.DataFrame
    origins: tuple[dict[str, object], ...]

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
    """Train a network on each fold, and one on all cases, in phases; a finished phase is not trained again.

    Each training keeps the weights of its last epoch, since so few validation cases would choose by chance.

    Args:
        plan: the settings.
        cohort: the cases.
        storage: storage of the project; an interrupted training continues.
        start: file with the initial weights.
    """
    key = sha256_bytes(json.dumps([cohort.sha256, _weights_hash(start)]).encode())
    starts = [start] * (plan.real.folds + 1)
    histories: list[pd.DataFrame] = []
    origins: list[dict[str, object]] = []
    for number, phase in enumerate(plan.real.phases, 1):
        key = _phase_key(plan, phase, key)
        folder = pretrained_folder(storage) / key
        if not folder.exists():
            _train(plan, phase, cohort, storage, starts, folder, name=f"real cases, phase {number}")
        starts = [*network_files(folder / FOLDS), folder / MODEL_FILE]
        histories.append(pd.read_csv(folder / HISTORY_FILE).assign(phase=number))
        origins.append(read_json(folder / ORIGIN_FILE))
    return TrainedOnRealCases(folder, cohort, pd.concat(histories), tuple(origins))


def _train(
    plan: Pretraining,
    phase: Phase,
    cohort: RealCohort,
    storage: ProjectStorage,
    starts: Sequence[Path],
    folder: Path,
    *,
    name: str,
) -> None:
    """Train a phase, and write its networks, logs and origin into `folder`."""
    from glioseg.models.training.cross_validation import TrainingSplit, fit_splits

    folds = plan.real.folds
    _, network, train = plan.of_real_phase(phase)
    parts = [_without(cohort, fold) for fold in range(folds)]
    parts.append(([*cohort.cropped],) * 2)  # its own validation chooses nothing
    splits = [TrainingSplit(*part, start) for part, start in zip(parts, starts, strict=True)]
    counts = [{"train": len(split.cases), "validation": len(split.validation)} for split in splits]
    state, params = storage.state(folder.name), plan.model_dump(mode="json")
    with training_run(connect(storage), state=state, name=name, params=params, cases=counts) as log:
        trained = fit_splits(
            splits,
            network=network,
            train=train,
            state=state,
            epoch_callback=partial(log.fold, folds=folds),
        )
        with replace_folder_atomic(folder) as aside:
            save_networks(aside, trained.networks[-1:])
            save_networks(aside / FOLDS, trained.networks[:-1])
            write_atomic(aside / HISTORY_FILE, trained.history.to_csv(index=False).encode())
            write_atomic(aside / ORIGIN_FILE, json.dumps(current_origin()).encode())
        draw_learning_curves(trained.history, REPORTS / "curves.png")
        dice = trained.validation_dice[:folds]
        log.finish({"best_val_dice": sum(dice) / len(dice)}, REPORTS)


def _phase_key(plan: Pretraining, phase: Phase, before: str) -> str:
    """A hash of the settings of a phase, and of what it starts from; it does not depend on code."""
    _, network, train = plan.of_real_phase(phase)
    settings = [part.model_dump_json() for part in (network, train)]
    return sha256_bytes(json.dumps([*settings, plan.real.folds, before]).encode())


def _weights_hash(file: Path) -> str:
    """Hash of the weights in half precision, which is the same for their published file, which is rounded."""
    weights = load_network(file, "float32").get_weights()
    return sha256_bytes(b"".join(weight.astype(np.float16).tobytes() for weight in weights))


def _without(cohort: RealCohort, fold: int) -> tuple[list[CroppedCase], list[CroppedCase]]:
    """The cases of all other folds, and those of this fold."""
    pairs = list(zip(cohort.cropped, cohort.folds, strict=True))
    return [case for case, own in pairs if own != fold], [case for case, own in pairs if own == fold]
