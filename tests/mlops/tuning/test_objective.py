"""The measures that are estimated before a trial trains, and the key of a study."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from optuna import TrialPruned

from glioseg.core.memory import peak_gb
from glioseg.mlops.tuning import MONITORED
from glioseg.mlops.tuning.objective import ShortTraining
from glioseg.models.training.fit import FitResult
from glioseg.params import load_params

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Brain:
    """A validation case with only a shape."""

    name: str
    shape: tuple[int, int, int]

    def open(self, spacing_mm):
        return None, np.broadcast_to(np.uint8(0), self.shape)


def trial(**tune):
    params = load_params(ROOT / "params.yaml")
    changed = params.tune.model_validate(params.tune.model_dump() | tune)
    brains = [Brain("a", (66, 90, 68)), Brain("b", (70, 80, 60))]
    return ShortTraining(params.model_copy(update={"tune": changed}), brains, brains)


def gb(shape, filters):
    return pytest.approx(peak_gb(shape, base_filters=filters))


def test_memory_is_that_of_one_pass_over_the_largest_brain_if_it_fits():
    """70 x 90 x 68 voxels, each axis to the next multiple of 4 at depth 3, of 8 at depth 4."""
    estimate_measures = trial().estimate_measures
    assert estimate_measures({"depth": 3, "base_filters": 6})["memory_gb"] == gb((72, 92, 68), 6)
    assert estimate_measures({"depth": 4, "base_filters": 8})["memory_gb"] == gb((72, 96, 72), 8)


def test_memory_is_that_of_a_window_if_the_largest_brain_does_not_fit():
    objective = trial()
    train = objective.params.train.model_copy(update={"patch_shape": (16, 16, 16)})
    inference = objective.params.inference.model_copy(update={"memory_gb": 1.4})
    params = objective.params.model_copy(update={"train": train, "inference": inference})
    small = ShortTraining(params, objective.cases, objective.validation)
    assert small.estimate_measures({"depth": 3, "base_filters": 6})["memory_gb"] == gb((16, 16, 16), 6)


def test_the_key_of_a_study_has_exactly_the_settings_that_its_measures_depend_on(monkeypatch):
    monkeypatch.setattr("glioseg.mlops.tuning.objective.code_fingerprint", lambda module: "the code")
    limits = {"memory_gb": 4.0, "case_s": None}

    def fixed(mirror, **tune):
        objective = trial(**tune)
        inference = objective.params.inference.model_copy(update={"mirror": mirror})
        params = objective.params.model_copy(update={"inference": inference})
        return ShortTraining(params, objective.cases, objective.validation).fixed

    assert fixed(True) == fixed(False)
    assert fixed(True, trials=9, sampler="random", pruner="none") == fixed(True)
    assert fixed(True, limits=limits) != fixed(True)
    assert fixed(True, limits=limits) != fixed(False, limits=limits)
    assert fixed(True, objectives=["dice", "case_s"]) != fixed(True)


@pytest.mark.parametrize("end", [None, TrialPruned("others were better"), MemoryError(), KeyboardInterrupt()])
def test_keras_s_session_is_cleared_however_a_trial_ends(end, monkeypatch):
    """Keras numbers the layers of a session: the first Dense layer of a cleared one is `dense` again."""

    def fit(**given):
        assert keras.layers.Dense(1).name == "dense"
        if end:
            raise end
        return FitResult(None, 0, [{MONITORED: 0.5}])

    monkeypatch.setattr("glioseg.models.training.fit.fit", fit)
    keras.utils.clear_session()
    for _ in range(2):
        with pytest.raises(type(end)) if end else nullcontext():
            assert trial()({}, lambda epoch, logs: None) == {"dice": 0.5}
