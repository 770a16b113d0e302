"""Save and load model folders and ensembles, and share models with workers that load them once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.core.nifti import Volume
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.prediction import Predict, Prediction
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks.hardware import NETWORK_LOCK
from glioseg.models.networks.keras_file import ModelError, load_networks, save_networks
from glioseg.params.contract import CONTRACT, load_contract

if TYPE_CHECKING:
    import keras


def save_model(folder: Path, models: Sequence["keras.Model"], settings: Settings) -> None:
    """Write a model folder: its networks, and `settings.json`."""
    save_networks(folder, models)
    settings.save(folder)


def load_model(folder: Path) -> Predictor:
    """Load a model folder, as `save_model` writes it, with the contract beside the model.

    Raises:
        ModelError: the folder contains no model that can be loaded.
        ParamsError: the contract is not valid.
    """
    settings, contract = Settings.load(folder), load_contract(folder / CONTRACT)
    return Predictor(load_networks(folder), settings, contract)


def load_ensemble(folders: Sequence[Path]) -> Predictor:
    """Load the members of all model folders as one ensemble, with the contract of the first folder.

    Raises:
        ModelError: as for `ensemble_settings`, or a folder cannot be loaded.
        ParamsError: as for `load_model`.
    """
    settings, contract = ensemble_settings(folders), load_contract(folders[0] / CONTRACT)
    networks = tuple(network for folder in folders for network in load_networks(folder))
    return Predictor(networks, settings, contract)


def ensemble_settings(folders: Sequence[Path]) -> Settings:
    """The settings of an ensemble, without loading its networks.

    The results of calibration, and the margin of the brain box, are those of the first folder; grid multiple,
    windows and memory satisfy the requirements of every folder. An ensemble of several folders has no volume
    intervals: those of each folder were calibrated on its own predictions, not on the mean.

    Raises:
        ModelError: a folder has no settings, or the inputs or outputs of the networks differ.
    """
    all_settings = [Settings.load(folder) for folder in folders]
    same = [
        {
            "spacing_mm": settings.spacing_mm,
            "target": settings.target,
            "contract spacing": load_contract(folder / CONTRACT).spacing.mm,
        }
        for folder, settings in zip(folders, all_settings, strict=True)
    ]
    for folder, values in zip(folders, same, strict=True):
        for name, expected in same[0].items():
            if values[name] != expected:
                raise ModelError(
                    f"{folder}: expected {name} {expected}, as in {folders[0]}, got {values[name]}"
                )
    return _most_demanding(all_settings)


def _most_demanding(all_settings: Sequence[Settings]) -> Settings:
    first = all_settings[0]
    alone = len(all_settings) == 1
    multiple = max(settings.multiple for settings in all_settings)
    d, h, w = (-(-n // multiple) * multiple for n in first.window_shape)
    return replace(
        first,
        multiple=multiple,
        window_shape=(d, h, w),
        base_filters=max(settings.base_filters for settings in all_settings),
        modality_dropout=min(settings.modality_dropout for settings in all_settings),
        volume_intervals=first.volume_intervals if alone else None,
    )


@dataclass(frozen=True)
class CachedModel:
    """An ensemble given by its folders, which is cheap to pickle: a process loads it at its first prediction.

    `digest` identifies the models, independently of their folders; `mirror` and `memory_gb` override the
    settings of the models (None: no override).
    """

    folders: tuple[Path, ...] = field(compare=False)
    digest: str
    mirror: bool | None = None
    memory_gb: float | None = None

    @property
    def settings(self) -> Settings:
        """The settings of the ensemble, with the overrides."""
        return self._with_overrides(ensemble_settings(self.folders))

    def load(self) -> Predictor:
        """Load the ensemble."""
        predictor = load_ensemble(list(self.folders))
        return replace(predictor, settings=self._with_overrides(predictor.settings))

    def _with_overrides(self, own: Settings) -> Settings:
        mirror = own.mirror if self.mirror is None else self.mirror
        memory_gb = own.memory_gb if self.memory_gb is None else self.memory_gb
        return replace(own.with_mirroring(mirror), memory_gb=memory_gb)

    @property
    def predict(self) -> Predict:
        """The prediction function; it loads the ensemble, unless the previous access loaded the same one."""
        with NETWORK_LOCK:
            predictor = _load_cached(self)

        def predict(images: Mapping[str, Volume]) -> Prediction:
            with NETWORK_LOCK:
                return predictor.predict(images)

        return predict


@lru_cache(maxsize=1)
def _load_cached(model: CachedModel) -> Predictor:
    return model.load()
