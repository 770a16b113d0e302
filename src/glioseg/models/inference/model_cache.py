"""A model that travels to workers as the place where it lies: each worker loads it once, and keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from glioseg.core.nifti import Volume
from glioseg.models.inference import predictor
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.prediction import Answer, Ask
from glioseg.models.inference.predictor import Segmenter
from glioseg.models.networks.threads import ONE_AT_A_TIME


@dataclass(frozen=True)
class KeptModel:
    """The models that lie in some folders, as one.

    `digest` tells them from others, wherever they lie; `mirror` and `memory_gb` are what a user sets (None:
    the models' own).
    """

    folders: tuple[Path, ...] = field(compare=False)
    digest: str
    mirror: bool | None = None
    memory_gb: float | None = None

    @property
    def settings(self) -> Settings:
        """How they are run."""
        return self._as_asked(predictor.ensemble_settings(self.folders))

    def load(self) -> Segmenter:
        """Load them."""
        segmenter = predictor.load_ensemble(list(self.folders))
        return replace(segmenter, settings=self._as_asked(segmenter.settings))

    def _as_asked(self, own: Settings) -> Settings:
        mirror = own.mirror if self.mirror is None else self.mirror
        memory_gb = own.memory_gb if self.memory_gb is None else self.memory_gb
        return replace(own, mirror=mirror, memory_gb=memory_gb)

    @property
    def answer(self) -> Ask:
        """What answers in this process: loaded now, unless it is the model that was asked last."""
        with ONE_AT_A_TIME:
            segmenter = _kept(self)

        def answer(images: Mapping[str, Volume]) -> Answer:
            with ONE_AT_A_TIME:
                return segmenter.answer(images)

        return answer


@lru_cache(maxsize=1)
def _kept(model: KeptModel) -> Segmenter:
    return model.load()
