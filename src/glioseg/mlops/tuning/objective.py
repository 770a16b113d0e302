"""What a trial of the tuning study does: a short training with some values."""

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
from glioseg.data.store.cropped_store import CroppedCase
from glioseg.mlops.tuning import WATCHED, Measures, Report, Values
from glioseg.params import Params, with_best

if TYPE_CHECKING:
    import keras

SECTIONS = {"network", "train"}
LOOKS = 3
"""How often the segmentation of a case is timed; the median counts."""


@dataclass(frozen=True)
class ShortTraining:
    """Trains with a trial's values for as long as `params.tune` allows; as the study's objective."""

    params: Params
    cases: Sequence[CroppedCase]
    validation: Sequence[CroppedCase]
    init: Path | None = None

    def __call__(self, values: Values, report: Report) -> Measures:
        """The best validation Dice of a short training with these values, and the seconds of a case."""
        from glioseg.models.training.fit import (
            free_networks,  # TensorFlow takes 12 s, and no trial may be left
        )

        try:
            return self._train(self._chosen(values), report)
        finally:  # a pruned trial too leaves a network
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
        dice = {"dice": fitted.history[fitted.best_epoch][WATCHED]}
        seconds = {"case_s": self._case_s(fitted.model, chosen)} if self.params.tune.measures_time else {}
        return dice | seconds

    def foresee(self, values: Values) -> Measures:
        """The memory that segmenting a case needs, from the values alone.

        As the engine does, in one pass over the largest brain of the validation cases where that keeps
        within `inference.memory_gb`, else window by window.
        """
        chosen = self._chosen(values)
        multiple, filters = 2 ** (chosen.network.depth - 1), chosen.network.base_filters
        d, h, w = (-(-n // multiple) * multiple for n in self._brain)
        whole, window = (
            peak_gb(shape, base_filters=filters) for shape in ((d, h, w), chosen.train.patch_shape)
        )
        return {"memory_gb": whole if whole <= chosen.inference.memory_gb else window}

    @property
    def default(self) -> Values:
        """The set-up of params.yaml, by the names that a space uses."""
        return {**self.params.network.model_dump(), **self.params.train.model_dump()}

    @property
    def fixed(self) -> Mapping[str, object]:
        """All that a trial's result depends on beside its values and the cohort, the code included."""
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

    def settings(self, values: Values) -> Mapping[str, object]:
        """All settings of a trial with these values, nested as in params.yaml."""
        return self._chosen(values).model_dump(mode="json", include=SECTIONS)

    @property
    def _limits(self) -> Mapping[str, object] | None:
        """The limits, and what measures depend on; None where none is asked for."""
        tune = self.params.tune
        if not tune.measures_time and tune.limits.memory_gb is None:
            return None
        return {
            "limits": tune.limits.model_dump(),
            "inference": self.params.inference.model_dump(include={"memory_gb", "overlap", "mirror"}),
        }

    @cached_property
    def _brain(self) -> Shape3:
        """The smallest grid that holds the brain of every validation case."""
        spacing = self.params.network.spacing_mm
        d, h, w = np.max([case.open(spacing)[1].shape for case in self.validation], axis=0).tolist()
        return (d, h, w)

    def _case_s(self, model: "keras.Model", chosen: Params) -> float:
        """Seconds that the network takes for the first validation case, as `predict` would use it."""
        from glioseg.models.inference.forward import examine  # these load Keras
        from glioseg.models.inference.model_settings import Settings

        settings = Settings.untuned(chosen.network, chosen.train, chosen.crop, chosen.inference)
        image = self.validation[0].open(settings.spacing_mm)[0][:].astype(np.float32)
        examine([model], image, settings)  # compiles
        seconds = []
        for _ in range(LOOKS):
            start = time.perf_counter()
            examine([model], image, settings)
            seconds.append(time.perf_counter() - start)
        return median(seconds)

    def _chosen(self, values: Values) -> Params:
        tune = self.params.tune
        return with_best(
            self.params, {"epochs": tune.epochs, "steps_per_epoch": tune.steps_per_epoch, **values}
        )
