"""What a trial of the tuning study does: a short training with some values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from glioseg.data.store import CroppedCase
from glioseg.lab.lineage import sha256_files, training_code
from glioseg.lab.search import WATCHED, Report, Values
from glioseg.params import Params, with_best

SECTIONS = {"network", "train"}


@dataclass(frozen=True)
class ShortTraining:
    """Trains with a trial's values for as long as `params.tune` allows; as the study's objective."""

    params: Params
    cases: Sequence[CroppedCase]
    validation: Sequence[CroppedCase]
    init: Path | None = None

    def __call__(self, values: Values, report: Report) -> float:
        """The best validation Dice of a short training with these values."""
        import keras  # TensorFlow takes 12 s, and is not needed where no trial is left

        from glioseg.nets.training import fit

        chosen = self._chosen(values)
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
        keras.utils.clear_session()
        return fitted.history[fitted.best_epoch][WATCHED]

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
            "code": training_code(),
            "init": sha256_files([self.init]) if self.init else None,
        }

    def settings(self, values: Values) -> Mapping[str, object]:
        """All settings of a trial with these values, nested as in params.yaml."""
        return self._chosen(values).model_dump(mode="json", include=SECTIONS)

    def _chosen(self, values: Values) -> Params:
        tune = self.params.tune
        return with_best(
            self.params, {"epochs": tune.epochs, "steps_per_epoch": tune.steps_per_epoch, **values}
        )
