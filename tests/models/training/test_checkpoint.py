"""The state of a training is restored completely, and only for its own set-up."""

from pathlib import Path

import keras
import numpy as np
import pytest

from glioseg.models.training import checkpoint
from glioseg.models.training.checkpoint import TrainingProgress


def compiled(seed: int) -> keras.Model:
    """A model with dropout, whose state has more than weights."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    model.compile(keras.optimizers.Adam(0.1), loss="mse", jit_compile=False)
    return model


def fresh(fingerprint: str = "mark") -> TrainingProgress:
    return TrainingProgress(fingerprint, "val_dice")


def trained(*dice: float) -> TrainingProgress:
    progress = fresh()
    for value in dice:
        progress.add_epoch({"val_dice": value}, [np.array(value)])
    return progress


def test_weights_optimizer_and_random_state_are_restored(tmp_path: Path) -> None:
    model = compiled(0)
    model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    checkpoint.save(tmp_path, model, trained(0.2, 0.6, 0.5))
    other = compiled(1)
    restored = checkpoint.restore(tmp_path, other, fresh())
    assert (restored.epoch, restored.best_epoch, restored.history[1]["val_dice"]) == (3, 1, 0.6)
    assert restored.best_weights == [0.6]
    for state in (model, other):
        state.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a file"])
def test_without_a_readable_state_training_starts_anew(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / checkpoint.STATE_FILE).write_bytes(content)
    assert checkpoint.restore(tmp_path, compiled(0), fresh()) == fresh()


def test_the_state_of_another_set_up_is_ignored(tmp_path: Path) -> None:
    model = compiled(0)
    checkpoint.save(tmp_path, model, trained(0.5))
    other = compiled(1)
    before = other.get_weights()
    assert checkpoint.restore(tmp_path, other, fresh("another")) == fresh("another")
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_weights_are_those_of_the_best_epoch() -> None:
    progress = trained(0.2, 0.6, 0.5, 0.6)
    assert progress.best_epoch == 1
    assert progress.best_weights == [0.6]


@pytest.mark.parametrize(("dice", "expected"), [([], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True)])
def test_patience_counts_epochs_since_the_best(dice: list[float], expected: bool) -> None:
    assert trained(*dice).out_of_patience(patience=2) is expected


def test_the_last_epoch_can_be_the_best_whatever_validation_says() -> None:
    progress = TrainingProgress("mark", "last")
    for loss, dice in ((0.5, 0.6), (0.7, 0.2), (np.nan, np.nan)):
        progress.add_epoch({"loss": loss, "val_dice": dice}, [np.array(loss)])
    # The third epoch has no finite loss: its weights are useless.
    assert (progress.best_epoch, progress.best_weights) == (1, [0.7])


def test_an_epoch_with_dice_zero_has_best_weights() -> None:
    assert trained(0.0).best_epoch == 0


def test_with_val_loss_the_smallest_loss_is_best() -> None:
    progress = TrainingProgress("mark", "val_loss")
    for loss, dice in ((0.9, 0.1), (0.4, 0.1), (0.6, 0.9)):
        progress.add_epoch({"val_loss": loss, "val_dice": dice}, [np.array(loss)])
    assert (progress.best_epoch, progress.best_weights) == (1, [0.4])
