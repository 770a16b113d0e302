"""Train the network on patches, keep its best weights, and go on after a kill."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from glioseg.data.patches import prefetch, sample_batch
from glioseg.data.store import StoredCase
from glioseg.labels import regions_from_labels
from glioseg.nets import checkpoint
from glioseg.nets.callbacks import Bookkeeping, OnEpoch, ProgressLines
from glioseg.nets.losses import Loss, region_loss
from glioseg.nets.precision import dtype_policy
from glioseg.nets.unet import build_unet
from glioseg.nets.validation import Validation
from glioseg.params import Network, Train, check_patch

WARM_UP = 0.05
"""Share of the steps over which the learning rate rises to its peak; then it falls as a cosine."""

Example = tuple[Float32[NDArray, "b d h w 4"], Bool[NDArray, "b d h w 3"]]


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights of its best epoch, and one record an epoch."""

    model: keras.Model
    history: list[dict[str, float]]


def fit(
    *,
    network: Network,
    train: Train,
    cases: Sequence[StoredCase],
    validation: Sequence[StoredCase],
    state: Path,
    on_epoch: OnEpoch,
) -> Fitted:
    """Train a network.

    The state is saved after each epoch. Called again with the same set-up after a kill, training
    goes on from there and ends as if nothing had happened; a state of another set-up is ignored.

    Args:
        network: the network's shape and resolution.
        train: how to train.
        cases: the training cases.
        validation: the cases whose mean Dice chooses the best epoch.
        state: a folder of this training's own; the caller removes it once the model is safe.
        on_epoch: told each epoch (from 0) and its logs: loss, val_loss, val_dice, val_dice_wt, _tc,
            _et, learning_rate, seconds. What it raises ends training, and the state stays.

    Raises:
        ValueError: no case, or a patch that the network cannot halve often enough.
    """
    check_patch(train.patch_shape, network.depth)
    if not cases or not validation:
        raise ValueError(
            f"training: expected at least one training and one validation case,"
            f" got {len(cases)} and {len(validation)}"
        )
    keras.utils.set_random_seed(train.seed)
    loss = region_loss(cross_entropy_weight=train.cross_entropy_weight)
    model = _compiled(network, train, loss)
    mark = fingerprint(network, train, [*cases, *validation])
    progression = checkpoint.restore(state, model, mark)
    callbacks = [
        Validation(validation, spacing_mm=network.spacing_mm, multiple=2 ** (network.depth - 1), loss=loss),
        Bookkeeping(progression, state=state, patience=train.patience, on_epoch=on_epoch),
        ProgressLines(epochs=train.epochs, steps=train.steps_per_epoch),
    ]
    if not progression.stale(train.patience):
        _run(model, network, train, cases, callbacks, progression.epoch)
    checkpoint.assign(model.weights, progression.best)
    return Fitted(model, progression.history)


def _run(
    model: keras.Model,
    network: Network,
    train: Train,
    cases: Sequence[StoredCase],
    callbacks: list[keras.callbacks.Callback],
    epoch: int,
) -> None:
    """Train from the given epoch to the last."""
    model.fit(
        examples(network, train, cases, start=epoch * train.steps_per_epoch),
        initial_epoch=epoch,
        epochs=train.epochs,
        steps_per_epoch=train.steps_per_epoch,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def examples(network: Network, train: Train, cases: Sequence[StoredCase], *, start: int) -> Iterator[Example]:
    """Batches of images and region masks from one training step on, for ever."""
    batch = partial(sample_batch, cases=cases, train=train, spacing_mm=network.spacing_mm)
    for images, labels in prefetch(batch, start=start):
        yield images, regions_from_labels(labels)


def _compiled(network: Network, train: Train, loss: Loss) -> keras.Model:
    model = build_unet(
        base_filters=network.base_filters,
        depth=network.depth,
        dropout=network.dropout,
        dtype=dtype_policy(train.precision),
    )
    steps = train.epochs * train.steps_per_epoch
    warm_up = max(1, round(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=train.learning_rate, warmup_steps=warm_up
    )
    # XLA takes 25 times as long on a CPU.
    model.compile(keras.optimizers.Adam(schedule), loss=loss, jit_compile=False)
    return model


def fingerprint(network: Network, train: Train, cases: Sequence[StoredCase]) -> str:
    """A hash of the set-up: settings, and each case's name and packed size."""
    record = {
        "network": network.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "cases": [(c.folder.name, c.image(network.spacing_mm).schunk.cbytes) for c in cases],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
