"""The objective of a study: a short training with the values of a trial."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from glioseg.core.fingerprint import code_fingerprint, sha256_file
from glioseg.core.geometry import Shape3
from glioseg.core.memory import peak_gb
from glioseg.data.store.cropped_cases import CroppedCase
from glioseg.mlops.tuning import MONITORED, Measures, ParamValues, Report
from glioseg.params import Params, with_best_params

if TYPE_CHECKING:
    import keras

SECTIONS = {"network", "train"}
TIMED_PASSES = 3
"""How often the forward pass of a case is timed; the median is the result."""


@dataclass(frozen=True)
class ShortTraining:
    """Trains with a trial's values for `params.tune.epochs` epochs; the objective of the study."""

    params: Params
    cases: Sequence[CroppedCase]
    validation: Sequence[CroppedCase]
    init: Path | None = None

    def __call__(self, values: ParamValues, report: Report) -> Measures:
        """The best validation Dice of a short training with these values, and the seconds per case."""
        from glioseg.models.training.fit import (
            free_networks,  # importing TensorFlow takes 12 s, and there may be no trial left
        )

        try:
            return self._train(self._trial_params(values), report)
        finally:  # a pruned trial also leaves a network in memory
            free_networks()

    def _train(self, chosen: Params, report: Report) -> Measures:
        from glioseg.models.training.fit import fit

        with TemporaryDirectory() as state:
            fitted = fit(
                network=chosen.network,
                train=chosen.train,
                cases=self.cases,
                validation=self.validation,
                state=Path(state),
                on_epoch=report,
                init=self.init,
            )
        dice = {"dice": fitted.history[fitted.best_epoch][MONITORED]}
        seconds = {"case_s": self._case_s(fitted.model, chosen)} if self.params.tune.needs_case_time else {}
        return dice | seconds

    def estimate_measures(self, values: ParamValues) -> Measures:
        """The memory that segmenting a case needs, from the values alone.

        Like inference itself, it assumes one forward pass over the largest brain of the validation cases if
        that stays within `inference.memory_gb`, and sliding windows otherwise.
        """
        chosen = self._trial_params(values)
        multiple, filters = 2 ** (chosen.network.depth - 1), chosen.network.base_filters
        d, h, w = (-(-n // multiple) * multiple for n in self._largest_brain)
        whole, window = (
            peak_gb(shape, base_filters=filters) for shape in ((d, h, w), chosen.train.patch_shape)
        )
        return {"memory_gb": whole if whole <= chosen.inference.memory_gb else window}

    @property
    def default_values(self) -> ParamValues:
        """The values of params.yaml, by the names that a search space uses."""
        return {**self.params.network.model_dump(), **self.params.train.model_dump()}

    @property
    def fixed(self) -> Mapping[str, object]:
        """Everything that a trial's result depends on besides its values and the cohort, code included."""
        return {
            "settings": self.settings({}),
            "cases": [case.name for case in self.cases],
            "validation": [case.name for case in self.validation],
            "seed": self.params.tune.seed,
            "code": code_fingerprint(__name__),
            "init": sha256_file(self.init) if self.init else None,
            "objectives": self.params.tune.objectives,
            "limits": self._limits,
        }

    def settings(self, values: ParamValues) -> Mapping[str, object]:
        """All settings of a trial with these values, nested as in params.yaml."""
        return self._trial_params(values).model_dump(mode="json", include=SECTIONS)

    @property
    def _limits(self) -> Mapping[str, object] | None:
        """The limits, and the settings that measures depend on; None if the study needs no measures."""
        tune = self.params.tune
        if not tune.needs_case_time and tune.limits.memory_gb is None:
            return None
        return {
            "limits": tune.limits.model_dump(),
            "inference": self.params.inference.model_dump(include={"memory_gb", "overlap", "mirror"}),
        }

    @cached_property
    def _largest_brain(self) -> Shape3:
        """The smallest shape that contains the brain of every validation case."""
        spacing = self.params.network.spacing_mm
        d, h, w = np.max([case.open(spacing)[1].shape for case in self.validation], axis=0).tolist()
        return (d, h, w)

    def _case_s(self, model: "keras.Model", chosen: Params) -> float:
        """Seconds of the forward pass for the first validation case, with the settings of `predict`."""
        from glioseg.models.inference.forward import run_networks  # imports Keras
        from glioseg.models.inference.model_settings import Settings

        settings = Settings.untuned(chosen.network, chosen.train, chosen.crop, chosen.inference)
        image = self.validation[0].open(settings.spacing_mm)[0][:].astype(np.float32)
        run_networks([model], image, settings)  # compiles
        seconds = []
        for _ in range(TIMED_PASSES):
            start = time.perf_counter()
            run_networks([model], image, settings)
            seconds.append(time.perf_counter() - start)
        return median(seconds)

    def _trial_params(self, values: ParamValues) -> Params:
        tune = self.params.tune
        return with_best_params(
            self.params, {"epochs": tune.epochs, "steps_per_epoch": tune.steps_per_epoch, **values}
        )
