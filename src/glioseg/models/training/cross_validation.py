"""One network, or one for each fold of cross-validation: the members of a model."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from glioseg.compute import Cluster
from glioseg.compute.isolated import run_apart
from glioseg.data.store.cropped_store import CroppedCase
from glioseg.models.networks.targets import require_outcomes
from glioseg.models.networks.threads import ONE_AT_A_TIME, training_threads
from glioseg.models.training.callbacks import OnEpoch
from glioseg.models.training.fit import Fitted, fit
from glioseg.params.sections import Network, Train


@dataclass(frozen=True)
class Part:
    """The cases that a member learns from, and those that choose its best epoch."""

    cases: Sequence[CroppedCase]
    validation: Sequence[CroppedCase]


@dataclass(frozen=True)
class Members:
    """Trained networks, one for each part, and all their epochs.

    `history` has a row an epoch and member, with the columns of `fit`'s logs and `fold`, `epoch`;
    `validation_dice` is that of the kept epochs, averaged over the members.
    """

    networks: list[keras.Model]
    history: pd.DataFrame
    validation_dice: float


def fit_members(
    parts: Sequence[Part],
    *,
    network: Network,
    train: Train,
    state: Path,
    follow: Callable[[int], AbstractContextManager[OnEpoch]],
    init: Path | None = None,
    tensorboard: Path | None = None,
    cluster: Cluster | None = None,
) -> Members:
    """Train a network on each part; killed and called again, it goes on where it was.

    Args:
        parts: one, or the folds of cross-validation.
        network: the shape of each network.
        train: how to train each.
        state: a folder of this training's own.
        follow: given a part's number, what is told each of its epochs, as in `fit`.
        init: as in `fit`.
        tensorboard: folder for TensorBoard's logs, if they are wanted.
        cluster: whose workers train the parts side by side, if they shall; epochs are told of at the end.
    """
    for part in parts:
        require_outcomes(part.cases, train.outputs)
    train_part = partial(
        fit_part, network=network, train=train, state=state, init=init, tensorboard=tensorboard
    )
    members = list(enumerate(parts))
    if cluster:
        cluster.map(partial(_fit_apart, train_part=train_part), members, title="train folds", gpu=True)
    networks, histories, dice = [], [], []
    for number, part in members:
        with follow(number) as on_epoch:
            fitted = train_part((number, part), on_epoch=on_epoch)
            for epoch, logs in enumerate(fitted.history if cluster else ()):
                on_epoch(epoch, logs)
        networks.append(fitted.model)
        history = pd.DataFrame(fitted.history).rename_axis("epoch").reset_index()
        histories.append(history.assign(fold=number))
        dice.append(fitted.history[fitted.best_epoch]["val_dice"])
    return Members(networks, pd.concat(histories, ignore_index=True), float(np.mean(dice)))


def fit_part(
    member: tuple[int, Part],
    *,
    network: Network,
    train: Train,
    state: Path,
    init: Path | None,
    tensorboard: Path | None,
    on_epoch: OnEpoch,
) -> Fitted:
    """Train the network of one part, as `fit` does; `member` holds the part's number too."""
    number, part = member
    return fit(
        network=network,
        train=train,
        cases=part.cases,
        validation=part.validation,
        state=state / f"fold{number}",
        on_epoch=on_epoch,
        init=init,
        tensorboard=tensorboard / f"fold{number}" if tensorboard else None,
    )


def _fit_apart(member: tuple[int, Part], *, train_part: Callable[..., Fitted]) -> None:
    """Train beside a worker: the network stays in the kept state, where who asked takes it from.

    In the worker itself other threads would draw from the random numbers that Keras seeds.
    """
    with ONE_AT_A_TIME:
        run_apart(partial(train_part, member, on_epoch=_unheard), variables=training_threads())


def _unheard(epoch: int, logs: dict[str, float]) -> None:
    """Who asked tells of each epoch at the end."""
