"""Trains on fewer cases than a project has, to forecast what more of them would bring."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json, remove_folder_atomic, write_atomic
from glioseg.data.cohort.splits import Splits, training_parts
from glioseg.data.store.cropped_cases import open_cases
from glioseg.mlops.tracking.initial_weights import recorded_hash, recorded_weights
from glioseg.mlops.tracking.run_tags import training_key
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import Params

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")
COLUMNS = ["key", "fold", "training_cases", "case", "dice"]
SHARES = (0.25, 0.5, 1.0)
"""Shares of the training cases of the smallest fold that networks are trained on."""


def measure_learning_curve(params: Params, table: Path, storage: ProjectStorage) -> pd.DataFrame:
    """Train on parts of each fold's training cases, and score the cases that the fold leaves out.

    The cases of a smaller part are also in the larger ones, and the first part has no case: its scores are
    those of the initial weights. Trainings keep the last epoch, so that no score is the best of several.
    A training that the table already has is not repeated, and an interrupted one continues, unless something
    that its result depends on has changed.

    Args:
        params: the tuned settings; `train.init_from` names the initial weights.
        table: CSV file of the results, with columns `COLUMNS`; written after each training.
        storage: storage of the project.

    Returns:
        The mean Dice of WT, TC and ET of each case (rows) for each number of training cases (columns).

    Raises:
        GliosegError: `train.init_from` is null, so that there is no model to start from.
    """
    if params.train.init_from is None:
        raise GliosegError("train.init_from: expected the weights to start from, e.g. builtin, got null")
    splits: Splits = read_json(SPLITS)
    settings = params.model_dump(mode="json", include={"network", "train", "crop"})
    settings["train"]["init_sha256"] = recorded_hash()
    key = training_key(settings, training_parts(splits, folds=params.split.folds, ensemble=True))
    rows, sizes = _read(table, key), training_sizes(splits)
    for fold in range(len(splits["folds"])):
        for count in sizes:
            if not ((rows["fold"] == fold) & (rows["training_cases"] == count)).any():
                print(f"forecast: fold {fold + 1}/{len(splits['folds'])}, {count} training cases", flush=True)
                scored = _train_and_score(params, splits, fold, count, storage.state(key))
                rows = pd.concat([rows, scored.assign(key=key)])
                write_atomic(table, rows[COLUMNS].to_csv(index=False).encode())
    return rows.pivot_table(index="case", columns="training_cases", values="dice")[sizes]


def training_sizes(splits: Splits) -> list[int]:
    """The numbers of training cases of a learning curve: none, and `SHARES` of those of the smallest fold.

    >>> folds = [{"train": ["a", "b", "c"], "validation": ["d", "e"]}]
    >>> training_sizes({"folds": folds})
    [0, 1, 2, 3]
    """
    smallest = min(len(fold["train"]) for fold in splits["folds"])
    return sorted({0, *(max(1, round(share * smallest)) for share in SHARES)})


def _train_and_score(params: Params, splits: Splits, fold: int, count: int, state: Path) -> pd.DataFrame:
    """The mean Dice of each case that a fold leaves out, after training on `count` of its other cases."""
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.networks.keras_file import load_network
    from glioseg.models.selection.calibrate import mean_dice
    from glioseg.models.selection.unseen_case import UnseenCase
    from glioseg.models.training.fit import fit, free_networks

    names, raw = splits["folds"][fold], RAW if params.crop.on_the_fly else None
    order = np.random.default_rng(params.split.seed).permutation(len(names["train"]))
    cases, left_out = (
        open_cases(CROPPED, part, raw=raw)
        for part in ([names["train"][i] for i in order[:count]], names["validation"])
    )
    init = recorded_weights(params.train.init_from)
    assert init is not None
    if count:
        model = fit(
            network=params.network,
            train=params.train.model_copy(update={"monitor": "last"}),
            cases=cases,
            validation=left_out,
            state=(own := state / f"fold{fold}_{count}_cases"),
            on_epoch=_ignore_epoch,
            init=init,
        ).model
    else:
        model = load_network(init)
    untuned = Settings.untuned(params.network, params.train, params.crop, params.inference)
    dice = [mean_dice(UnseenCase(case, [model]), replace(untuned, mirror=False)) for case in left_out]
    free_networks()
    if count:
        remove_folder_atomic(own)
    scored = {"fold": fold, "training_cases": count, "case": [case.name for case in left_out], "dice": dice}
    return pd.DataFrame(scored)


def _ignore_epoch(epoch: int, logs: dict[str, float]) -> None:
    """Do nothing: `fit` prints its progress."""


def _read(table: Path, key: str) -> pd.DataFrame:
    """The rows of earlier trainings with this key."""
    if not table.exists():
        return pd.DataFrame(columns=COLUMNS).astype({"fold": int, "training_cases": int, "dice": float})
    rows = pd.read_csv(table, dtype={"key": str, "case": str})
    return rows[rows["key"] == key]
