"""TensorFlow traces a training step once: a second trace would take seconds for nothing."""

from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.fit import fit

ALL = {"outputs": ("segmentation", "grade", "survival"), "loss": "seed"}
SCALES = {"architecture": "nnunet", "deep_supervision": "loss", "depth": 3}


@pytest.mark.parametrize(
    ("network", "train"), [({}, {}), ({}, ALL), (SCALES, {})], ids=["plain", "outcomes", "scales"]
)
def test_a_step_is_traced_once(
    network: dict[str, object],
    train: dict[str, object],
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python runs the step only while TensorFlow traces it."""
    traces, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traces.append(1) or step(model, data))
    fit(
        network=tiny_network(**network),
        train=tiny_train(epochs=2, **train),
        cases=toys[:3],
        validation=toys[3:],
        state=tmp_path,
        on_epoch=lambda epoch, logs: None,
    )
    assert len(traces) == 1
