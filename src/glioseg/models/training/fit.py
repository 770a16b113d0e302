"""Train a network on patches, keep the weights of the best epoch, and resume exactly when interrupted."""

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
from glioseg.core.geometry import check_patch_shape
from glioseg.data.store.cropped_cases import CroppedCase
from glioseg.models.networks.hardware import dtype_policy
from glioseg.models.networks.outputs import require_outcomes, training_targets
from glioseg.models.networks.unet import build_unet, without_deep_supervision
from glioseg.models.networks.weight_transfer import transfer_weights
from glioseg.models.training import checkpoint
from glioseg.models.training.callbacks import ProgressLines, Validation
from glioseg.models.training.checkpoint import CheckpointCallback, OnEpoch
from glioseg.models.training.distributed import (
    distribution_scope,
    fit_input,
    patch_worker_count,
    require_same_on_all_hosts,
    training_devices,
)
from glioseg.models.training.losses import Loss, compile_losses, seed_dice, seed_weighted_dice
from glioseg.models.training.patch_sampling import patch_workers, prefetch, sample_batch
from glioseg.params.sections import Network, Train

WARM_UP = 0.05
"""Share of the steps in which a cosine schedule rises to its peak learning rate."""

TrainingBatch = tuple[Float32[NDArray, "b d h w 4"], dict[str, Shaped[NDArray, "b ..."]]]


@dataclass(frozen=True)
class FitResult:
    """A trained network with the weights of its best epoch (from 0), and the logs of each epoch."""

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
) -> FitResult:
    """Train a network.

    The state is saved after each epoch. Called again with the same set-up after an interruption, training
    resumes from the last saved epoch and gives the same weights as without the interruption; the state of
    another set-up is ignored. The same set-up on the same machine gives the same weights.

    Args:
        network: the network's shape and resolution.
        train: settings of the training.
        cases: the training cases.
        validation: the cases that choose the best epoch.
        state: folder of the state, for this training only; the caller removes it after saving the model.
        on_epoch: called with each epoch (from 0) and its logs: loss, val_loss, val_dice, val_dice_wt, _tc,
            _et, learning_rate, seconds, and the losses of further outputs. An exception that it raises ends
            training; the state stays.
        init: a `.keras` file with initial weights.
        tensorboard: folder for TensorBoard's logs; None writes none.

    Returns:
        The network with the weights of its best epoch, and the logs of all epochs.

    Raises:
        GliosegError: no case, an outcome that is unknown for all cases, a patch shape that the network's
            depth does not divide, fewer GPUs than `train.devices`, hosts with different set-ups, initial
            weights that do not fit, or no epoch in which the monitored number is finite.
    """
    check_patch_shape(train.patch_shape, network.depth)
    if not cases or not validation:
        raise GliosegError(
            f"training: expected at least one training and one validation case,"
            f" got {len(cases)} and {len(validation)}"
        )
    require_outcomes(cases, train.outputs)
    keras.utils.set_random_seed(train.seed)
    with distribution_scope(train):
        trainer = Trainer(network, train, _build(network, train), cases)
        if init is not None:
            print(f"init_from: {transfer_weights(trainer.model, init)}", flush=True)
        trainer.compile()
        start = checkpoint.TrainingProgress(
            fingerprint(network, train, [*cases, *validation], init), train.monitor
        )
        progress = checkpoint.restore(state, trainer.model, start)
    require_same_on_all_hosts(start.fingerprint, progress.epoch, dtype_policy(train.precision), state)
    callbacks = [
        trainer.validation(validation),
        CheckpointCallback(progress, state=state, patience=train.patience, on_epoch=on_epoch),
        ProgressLines(epochs=train.epochs, steps=trainer.steps),
    ]
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard, write_graph=False))
    if not progress.out_of_patience(train.patience):
        trainer.run(callbacks, progress.epoch)
    if not progress.best_weights:
        raise GliosegError(
            f"training: expected an epoch with a finite {progress.monitored}, got none: training diverged"
        )
    checkpoint.assign_values(trainer.model.weights, progress.best_weights)
    model = without_deep_supervision(trainer.model)
    return FitResult(model, progress.best_epoch, progress.history)


def free_networks() -> None:
    """Free the memory of unused networks, which Keras keeps until its session is cleared."""
    keras.utils.clear_session()


@dataclass(frozen=True)
class Trainer:
    """Trains a network: its losses, metrics, optimizer, validation and batches."""

    network: Network
    train: Train
    model: keras.Model
    cases: Sequence[CroppedCase]

    @property
    def outputs(self) -> list[str]:
        """Names of the network's outputs, including the outputs for deep supervision."""
        return list(self.model.output)

    @property
    def steps(self) -> int:
        """Steps in an epoch; without `train.steps_per_epoch`, an epoch uses each case about once."""
        cases_per_step = self.train.batch_size // self.train.patches_per_case * (1 - self.train.phantom_share)
        return self.train.steps_per_epoch or math.ceil(len(self.cases) / cases_per_step)

    @property
    def metrics(self) -> dict[str, Loss]:
        """Metrics logged in addition to losses and Dice: those of the seed, if its loss is used."""
        seed: dict[str, Loss] = {"seed_dice": seed_dice, "seed_weighted_dice": seed_weighted_dice}
        return seed if self.train.loss == "seed" else {}

    def compile(self) -> None:
        """Compile the model with its losses, metrics and optimizer."""
        losses, weights = compile_losses(self.outputs, self.train)
        self.model.compile(
            keras.optimizers.Adam(self._learning_rate()),
            loss={name: _as_vector(loss) for name, loss in losses.items()},
            loss_weights=weights,
            metrics={"segmentation": list(self.metrics.values())} if self.metrics else None,
            jit_compile="auto",  # XLA on JAX and on GPUs; TensorFlow's XLA on a CPU takes 25 times as long
        )

    def validation(self, cases: Sequence[CroppedCase]) -> Validation:
        """The callback that scores cases after each epoch."""
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
        """Train from `epoch` to the last epoch."""
        if len(training_devices(self.train)) < 2:  # with several devices Keras does this itself
            self._create_variables()
        batches = partial(training_batches, self.network, self.train, self.cases, outputs=self.outputs)
        workers = patch_worker_count()
        # The block ends all workers, so that none uses random generators that another training has seeded.
        with patch_workers(self.cases, workers=workers, phantom_share=self.train.phantom_share) as executor:
            begin = partial(batches, start=epoch * self.steps, executor=executor, ahead=workers)
            failures: list[Exception] = []
            try:
                self.model.fit(
                    fit_input(partial(_record_failure, failures, begin), train=self.train),
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

        Otherwise the first trace of a step would create them, and TensorFlow would trace the step again for
        several seconds.
        """
        self.model.optimizer.build(self.model.trainable_variables)
        shapes = self.model.compute_output_shape((1, *self.train.patch_shape, 4))
        prediction = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        full = prediction["segmentation"]
        target = {n: full if n.startswith("segmentation") else p for n, p in prediction.items()}
        self.model.compute_loss(y=target, y_pred=prediction)
        self.model.compute_metrics(None, target, prediction)

    def _learning_rate(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        if self.train.schedule == "constant":
            return self.train.learning_rate
        steps = self.train.epochs * self.steps
        warm_up = max(1, round(WARM_UP * steps))
        return keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warm_up), warmup_target=self.train.learning_rate, warmup_steps=warm_up
        )


def training_batches(
    network: Network,
    train: Train,
    cases: Sequence[CroppedCase],
    *,
    outputs: Sequence[str],
    start: int,
    executor: Executor,
    ahead: int,
) -> Iterator[TrainingBatch]:
    """Images and targets of each training step from `start` on; see `patch_sampling.prefetch`."""
    make = partial(sample_batch, cases=cases, train=train, spacing_mm=network.spacing_mm)
    for batch in prefetch(make, start=start, executor=executor, ahead=ahead):
        targets = training_targets(batch.labels, batch.cases, outputs=outputs, target=network.target)
        yield batch.images, targets


def _record_failure(
    failures: list[Exception], begin: Callable[[], Iterator[TrainingBatch]]
) -> Iterator[TrainingBatch]:
    """The batches of `begin`; its exception is recorded, because TensorFlow wraps it in a longer one."""
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


def _as_vector(loss: Loss) -> Loss:
    """The loss as a vector of length 1, because Keras does not average a scalar over several devices."""
    return lambda target, prediction: keras.ops.reshape(loss(target, prediction), (1,))


def fingerprint(
    network: Network, train: Train, cases: Sequence[CroppedCase], init: Path | None = None
) -> str:
    """A hash of the set-up: settings, initial weights, and the name and outcomes of each case."""
    record: Mapping[str, object] = {
        "network": network.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "init": hashlib.sha256(init.read_bytes()).hexdigest() if init else None,
        "cases": [(case.name, case.grade, case.survival_days) for case in cases],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
