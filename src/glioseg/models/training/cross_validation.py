"""Train one network, or one for each fold of cross-validation."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import pandas as pd

from glioseg.compute import Cluster
from glioseg.compute.isolated import run_isolated
from glioseg.data.store.cropped_cases import CroppedCase
from glioseg.models.networks.hardware import NETWORK_LOCK, thread_variables
from glioseg.models.networks.outputs import require_outcomes
from glioseg.models.training.checkpoint import OnEpoch
from glioseg.models.training.fit import FitResult, fit
from glioseg.params.sections import Network, Train


@dataclass(frozen=True)
class TrainingSplit:
    """The training cases of one network, and the validation cases that choose its best epoch.

    `init`: the file or folder with its initial weights, as in `fit`.
    """

    cases: Sequence[CroppedCase]
    validation: Sequence[CroppedCase]
    init: Path | None = None


@dataclass(frozen=True)
class TrainedNetworks:
    """Trained networks, one for each split, and the logs of their epochs.

    `history` has a row for each epoch and network, with columns `fold`, `epoch` and those of `fit`'s logs;
    `validation_dice` is the validation Dice of each network in its best epoch.
    """

    networks: list[keras.Model]
    history: pd.DataFrame
    validation_dice: list[float]


def fit_splits(
    splits: Sequence[TrainingSplit],
    *,
    network: Network,
    train: Train,
    state: Path,
    epoch_callback: Callable[[int], AbstractContextManager[OnEpoch]],
    tensorboard: Path | None = None,
    cluster: Cluster | None = None,
) -> TrainedNetworks:
    """Train a network on each split; a repeated call after an interruption resumes the training.

    Args:
        splits: one, or one for each fold of cross-validation.
        network: architecture of each network.
        train: settings of the training of each network.
        state: folder of the state, for this training only.
        epoch_callback: function from the number of a split to a context manager that yields `on_epoch` of
            `fit`.
        tensorboard: folder for TensorBoard's logs; None writes none.
        cluster: its workers train the splits in parallel, and `on_epoch` is called after each training has
            ended; None trains one split after the other in this process.
    """
    for split in splits:
        require_outcomes(split.cases, train.outputs)
    train_split = partial(_fit_split, network=network, train=train, state=state, tensorboard=tensorboard)
    numbered = list(enumerate(splits))
    if cluster:
        cluster.map(partial(_fit_isolated, train_split=train_split), numbered, title="train folds", gpu=True)
    networks, histories, dice = [], [], []
    for number, split in numbered:
        with epoch_callback(number) as on_epoch:
            result = train_split((number, split), on_epoch=on_epoch)
            for epoch, logs in enumerate(result.history if cluster else ()):
                on_epoch(epoch, logs)
        networks.append(result.model)
        history = pd.DataFrame(result.history).rename_axis("epoch").reset_index()
        histories.append(history.assign(fold=number))
        dice.append(result.history[result.best_epoch]["val_dice"])
    return TrainedNetworks(networks, pd.concat(histories, ignore_index=True), dice)


def _fit_split(
    numbered_split: tuple[int, TrainingSplit],
    *,
    network: Network,
    train: Train,
    state: Path,
    tensorboard: Path | None,
    on_epoch: OnEpoch,
) -> FitResult:
    """Train the network of one split, whose number names the folders of state and TensorBoard."""
    number, split = numbered_split
    return fit(
        network=network,
        train=train,
        cases=split.cases,
        validation=split.validation,
        state=state / f"fold{number}",
        on_epoch=on_epoch,
        init=split.init,
        tensorboard=tensorboard / f"fold{number}" if tensorboard else None,
    )


def _fit_isolated(
    numbered_split: tuple[int, TrainingSplit], *, train_split: Callable[..., FitResult]
) -> None:
    """Train in a separate process; the state folder then contains the network.

    In the worker's own process, other threads would use the global random generators that Keras seeds.
    """
    with NETWORK_LOCK:
        run_isolated(
            partial(train_split, numbered_split, on_epoch=_ignore_epoch), variables=thread_variables()
        )


def _ignore_epoch(epoch: int, logs: dict[str, float]) -> None:
    """Do nothing; `fit_splits` calls `on_epoch` after the training has ended."""
