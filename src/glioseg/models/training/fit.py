"""Train the network on patches, keep its best weights, and go on after a kill."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float32, Shaped
from numpy.typing import NDArray

from glioseg.core.errors import GliosegError
from glioseg.core.geometry import check_patch
from glioseg.data.store.cropped_store import CroppedCase
from glioseg.models.networks.precision import dtype_policy
from glioseg.models.networks.targets import require_outcomes, targets
from glioseg.models.networks.unet import build_unet, without_deep_supervision
from glioseg.models.networks.weight_transfer import take_weights
from glioseg.models.training import checkpoint
from glioseg.models.training.baseline_2018 import seed_dice, seed_weighted_dice
from glioseg.models.training.callbacks import Bookkeeping, OnEpoch, ProgressLines
from glioseg.models.training.losses import Loss, compile_losses
from glioseg.models.training.multi_gpu import feed, shared_by, spare_cores, spread
from glioseg.models.training.multi_host import require_same
from glioseg.models.training.patch_sampling import patch_makers, prefetch, sample_batch
from glioseg.models.training.validation import Validation
from glioseg.params.sections import Network, Train

WARM_UP = 0.05
"""Share of the steps over which a cosine schedule rises to its peak; then it falls."""

Example = tuple[Float32[NDArray, "b d h w 4"], dict[str, Shaped[NDArray, "b ..."]]]


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights of its best epoch (from 0), and one record an epoch."""

    model: keras.Model
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    *,
    network: Network,
    train: Train,
    cases: Sequence[CroppedCase],
    validation: Sequence[CroppedCase],
    state: Path,
    on_epoch: OnEpoch,
    init: Path | None = None,
    tensorboard: Path | None = None,
) -> Fitted:
    """Train a network.

    The state is saved after each epoch. Called again with the same set-up after a kill, training
    goes on from there and ends as if nothing had happened; a state of another set-up is ignored.
    The same set-up on the same machine gives the same weights.

    Args:
        network: the network's shape and resolution.
        train: how to train.
        cases: the training cases.
        validation: the cases that choose the best epoch.
        state: a folder of this training's own; the caller removes it once the model is safe.
        on_epoch: told each epoch (from 0) and its logs: loss, val_loss, val_dice, val_dice_wt, _tc,
            _et, learning_rate, seconds, and the losses of further outputs. What it raises ends
            training, and the state stays.
        init: a `.keras` file whose weights to start from.
        tensorboard: folder for TensorBoard's log, if one is wanted.

    Raises:
        GliosegError: no case, an outcome that no case has, a patch that the network cannot halve often
            enough, fewer GPUs than are asked for, hosts that differ, weights to start from that do not
            fit, or no epoch whose numbers are finite.
    """
    check_patch(train.patch_shape, network.depth)
    if not cases or not validation:
        raise GliosegError(
            f"training: expected at least one training and one validation case,"
            f" got {len(cases)} and {len(validation)}"
        )
    require_outcomes(cases, train.outputs)
    keras.utils.set_random_seed(train.seed)
    with spread(train):
        plan = Plan(network, train, _build(network, train), cases)
        if init is not None:
            print(f"init_from: {take_weights(plan.model, init)}", flush=True)
        plan.compile()
        start = checkpoint.Progression(
            fingerprint(network, train, [*cases, *validation], init), train.monitor
        )
        progression = checkpoint.restore(state, plan.model, start)
    require_same(start.fingerprint, progression.epoch, dtype_policy(train.precision), state)
    callbacks = [
        plan.validation(validation),
        Bookkeeping(progression, state=state, patience=train.patience, on_epoch=on_epoch),
        ProgressLines(epochs=train.epochs, steps=plan.steps),
    ]
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard, write_graph=False))
    if not progression.stale(train.patience):
        plan.run(callbacks, progression.epoch)
    if not progression.best:
        raise GliosegError(
            f"training: expected an epoch with a finite {train.monitor}, got none: it diverged"
        )
    checkpoint.assign(plan.model.weights, progression.best)
    model = without_deep_supervision(plan.model)
    return Fitted(model, progression.best_epoch, progression.history)


def free_networks() -> None:
    """Free the memory of networks that are needed no more: Keras keeps them until its session is cleared."""
    keras.utils.clear_session()


@dataclass(frozen=True)
class Plan:
    """A network and all that its training needs."""

    network: Network
    train: Train
    model: keras.Model
    cases: Sequence[CroppedCase]

    @property
    def outputs(self) -> list[str]:
        """Names of the network's outputs, those for training alone included."""
        return list(self.model.output)

    @property
    def steps(self) -> int:
        """Steps an epoch; where params leave it open, each case is seen once."""
        each = self.train.batch_size // self.train.patches_per_case
        return self.train.steps_per_epoch or math.ceil(len(self.cases) / each)

    @property
    def metrics(self) -> dict[str, Loss]:
        """What is logged beside losses and Dice: the seed's own numbers where its loss is used."""
        seed: dict[str, Loss] = {"seed_dice": seed_dice, "seed_weighted_dice": seed_weighted_dice}
        return seed if self.train.loss == "seed" else {}

    def compile(self) -> None:
        """Give the model its losses, metrics and optimizer."""
        losses, weights = compile_losses(self.outputs, self.train)
        self.model.compile(
            keras.optimizers.Adam(self._learning_rate()),
            loss={name: _shared(loss) for name, loss in losses.items()},
            loss_weights=weights,
            metrics={"segmentation": list(self.metrics.values())} if self.metrics else None,
            jit_compile="auto",  # XLA on JAX and on GPUs; on a CPU TensorFlow's takes 25 times as long
        )

    def validation(self, cases: Sequence[CroppedCase]) -> Validation:
        """The callback that scores these cases after each epoch."""
        losses, weights = compile_losses(self.train.outputs, self.train)
        return Validation(
            cases,
            spacing_mm=self.network.spacing_mm,
            multiple=2 ** (self.network.depth - 1),
            target=self.network.target,
            losses=losses,
            weights=weights,
            metrics=self.metrics,
        )

    def run(self, callbacks: list[keras.callbacks.Callback], epoch: int) -> None:
        """Train from the given epoch to the last."""
        if len(shared_by(self.train)) < 2:  # for several devices Keras does this itself
            self._create_variables()
        batches = partial(examples, self.network, self.train, self.cases, outputs=self.outputs)
        workers = spare_cores()
        # What is under way must not reach into what is seeded next.
        with patch_makers(self.cases, workers=workers) as makers:
            begin = partial(batches, start=epoch * self.steps, makers=makers, ahead=workers)
            failures: list[Exception] = []
            try:
                self.model.fit(
                    feed(partial(_noting, failures, begin), train=self.train),
                    initial_epoch=epoch,
                    epochs=self.train.epochs,
                    steps_per_epoch=self.steps,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
            except Exception:
                if failures:
                    raise failures[0] from None
                raise

    def _create_variables(self) -> None:
        """Create the variables of the optimizer, the losses and the metrics before the first step.

        TensorFlow traces a step again if its first trace creates variables, and a trace takes seconds.
        """
        self.model.optimizer.build(self.model.trainable_variables)
        shapes = self.model.compute_output_shape((1, *self.train.patch_shape, 4))
        answer = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        truth = {n: answer["segmentation"] if n.startswith("segmentation") else a for n, a in answer.items()}
        self.model.compute_loss(y=truth, y_pred=answer)
        self.model.compute_metrics(None, truth, answer)

    def _learning_rate(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        if self.train.schedule == "constant":
            return self.train.learning_rate
        steps = self.train.epochs * self.steps
        warm_up = max(1, round(WARM_UP * steps))
        return keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warm_up), warmup_target=self.train.learning_rate, warmup_steps=warm_up
        )


def examples(
    network: Network,
    train: Train,
    cases: Sequence[CroppedCase],
    *,
    outputs: Sequence[str],
    start: int,
    makers: Executor,
    ahead: int,
) -> Iterator[Example]:
    """Batches of images and the truth of each output from one training step on; see `patches.prefetch`."""
    make = partial(sample_batch, cases=cases, train=train, spacing_mm=network.spacing_mm)
    for batch in prefetch(make, start=start, makers=makers, ahead=ahead):
        yield batch.images, targets(batch.labels, batch.cases, outputs=outputs, target=network.target)


def _noting(failures: list[Exception], begin: Callable[[], Iterator[Example]]) -> Iterator[Example]:
    """Examples, and noted what made them fail: TensorFlow passes it on as a long error of its own."""
    try:
        yield from begin()
    except Exception as error:
        failures.append(error)
        raise


def _build(network: Network, train: Train) -> keras.Model:
    return build_unet(
        architecture=network.architecture,
        base_filters=network.base_filters,
        depth=network.depth,
        dropout=network.dropout,
        heads=network.heads,
        deep_supervision=network.deep_supervision,
        outputs=train.outputs,
        dtype=dtype_policy(train.precision),
    )


def _shared(loss: Loss) -> Loss:
    """The same loss as a row of one: Keras takes a lone number for whole on each of several devices."""
    return lambda truth, answer: keras.ops.reshape(loss(truth, answer), (1,))


def fingerprint(
    network: Network, train: Train, cases: Sequence[CroppedCase], init: Path | None = None
) -> str:
    """A hash of the set-up: settings, weights to start from, and each case's name and outcomes."""
    record: Mapping[str, object] = {
        "network": network.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "init": hashlib.sha256(init.read_bytes()).hexdigest() if init else None,
        "cases": [(case.name, case.grade, case.survival_days) for case in cases],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
