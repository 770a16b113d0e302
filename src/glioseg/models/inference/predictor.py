"""From raw volumes to an answer on the scan's own grid: what predict, evaluate and serving share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.geometry import upsample
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume
from glioseg.data.store.cropping import Placement, crop_brain, place_crop, uncrop
from glioseg.data.store.resampling import NetworkGrid
from glioseg.models.inference.calibration import calibrate
from glioseg.models.inference.forward import examine, window_gb
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.out_of_distribution import portrait
from glioseg.models.inference.postprocess import belief_of, final_labels
from glioseg.models.inference.prediction import Answer, BrainProbabilities
from glioseg.models.inference.probabilities import Findings, Image
from glioseg.models.inference.uncertainty import entropy_bits, mean_bits, region_volumes
from glioseg.models.networks.keras_file import ModelError, load_networks, save_networks
from glioseg.models.networks.targets import DAYS_PER_YEAR
from glioseg.params.contract import CONTRACT, Contract, load_contract

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Segmenter:
    """Trained networks, of which the mean counts, with the settings that they need.

    `contract`: what a scan must be; it says how far the affines of a case may differ, and which spacing the
    scans of the training had: others are resampled.
    """

    models: tuple["keras.Model", ...]
    settings: Settings
    contract: Contract = field(default_factory=Contract)

    def answer(self, images: Mapping[str, Volume]) -> Answer:
        """Segment a case, and say how sure that is.

        Args:
            images: a volume for each of `MODALITIES`, or for some of them, all on one grid, in any
                orientation and of any spacing.

        Raises:
            GliosegError: no modality, grids that differ, or too small a memory budget.
            ResamplingError: too large a scan, which has another spacing than training.
        """
        image, grid, seen = self._look(images)
        placement = grid.placement
        brain = crop_brain(images, placement)
        found = _on_crop(seen, grid, brain)
        labels = final_labels(found.regions, self.settings, voxel_ml=_voxel_ml(placement))
        likely = calibrate(found.regions[brain], self.settings.temperature)
        entropy = np.zeros(brain.shape, np.float32)
        entropy[brain] = entropy_bits(likely)
        volumes = region_volumes(
            labels, likely, intervals=self.settings.volume_intervals, voxel_ml=_voxel_ml(placement)
        )
        confidence, doubt = self._trust(image, seen)
        years = found.outcomes.get("survival")
        return Answer(
            labels=uncrop(labels, placement),
            entropy_bits=uncrop(entropy, placement),
            volumes=volumes,
            probabilities=BrainProbabilities(likely, brain, placement),
            missing=tuple(name for name in MODALITIES if name not in images),
            mean_bits=mean_bits(entropy, labels, brain),
            confidence=confidence,
            doubt=doubt,
            grade_lgg=found.outcomes.get("grade"),
            survival_days=None if years is None else years * DAYS_PER_YEAR,
        )

    def segment(self, images: Mapping[str, Volume]) -> UInt8[NDArray, "d h w"]:
        """Dense labels on the scan's own grid, 0 outside the brain: those of `answer`."""
        _, grid, seen = self._look(images)
        placement = grid.placement
        found = _on_crop(seen, grid, crop_brain(images, placement))
        labels = final_labels(found.regions, self.settings, voxel_ml=_voxel_ml(placement))
        return uncrop(labels, placement)

    def _look(self, images: Mapping[str, Volume]) -> tuple[Image, NetworkGrid, Findings]:
        """What the networks see, on which grid, and what they find there."""
        placement = place_crop(
            images,
            margin_vox=self.settings.margin_vox,
            affine_tolerance=self.contract.affine.refused_above,
        )
        grid = NetworkGrid(placement, self.contract.spacing.mm, self.settings.spacing_mm)
        least_gb = window_gb(self.settings, len(self.models))
        grid.check_memory(self.settings.memory_gb, window_gb=least_gb)
        image = grid.image(images)
        return image, grid, examine(self.models, image, self.settings)

    def _trust(self, image: Image, seen: Findings) -> tuple[dict[str, float], tuple[str, ...]]:
        """The Dice that is to be expected of each region, and what speaks against the answer."""
        confidence = self.settings.confidence
        if confidence is None:
            return {}, ()
        belief, _ = belief_of(image, seen.regions, self.settings)
        expected = confidence.expected_dice(belief)
        return expected, confidence.doubts(expected, portrait(image, spacing_mm=self.settings.spacing_mm))


def _on_crop(seen: Findings, grid: NetworkGrid, brain: Bool[NDArray, "d h w"]) -> Findings:
    """What was found in the brain, in the voxels of the scan."""
    regions = grid.on_crop(seen.regions)
    regions[~brain] = 0
    return replace(seen, regions=regions)


def _voxel_ml(placement: Placement) -> float:
    return math.prod(placement.grid.spacing_mm) / 1000


def at_1_mm(
    regions: Float32[NDArray, "e i x 3"], brain: Bool[NDArray, "d h w"], *, spacing_mm: int
) -> Float32[NDArray, "d h w 3"]:
    """A network's probabilities on the grid that answers are given on, 0 outside the brain.

    Args:
        regions: at the network's spacing; may be overwritten.
        brain: of the crop at 1 mm.
        spacing_mm: the network's.
    """
    d, h, w = brain.shape
    fine = upsample(regions, spacing_mm, (d, h, w)) if spacing_mm > 1 else regions
    fine[~brain] = 0
    return fine


def save_model(folder: Path, models: Sequence["keras.Model"], settings: Settings) -> None:
    """Write a model folder: its networks, and `settings.json`."""
    save_networks(folder, models)
    settings.save(folder)


def load_model(folder: Path) -> Segmenter:
    """Load a model folder, as `save_model` writes it, with the contract that lies there.

    Raises:
        ModelError: the folder holds no model that can be loaded.
        ParamsError: its contract is none.
    """
    settings, contract = Settings.load(folder), load_contract(folder / CONTRACT)
    return Segmenter(load_networks(folder), settings, contract)


def load_ensemble(folders: Sequence[Path]) -> Segmenter:
    """Load model folders as one ensemble, of all their members; the first folder's contract holds.

    Raises:
        ModelError: as for `ensemble_settings`, or a folder that cannot be loaded.
        ParamsError: as for `load_model`.
    """
    settings, contract = ensemble_settings(folders), load_contract(folders[0] / CONTRACT)
    networks = tuple(network for folder in folders for network in load_networks(folder))
    return Segmenter(networks, settings, contract)


def ensemble_settings(folders: Sequence[Path]) -> Settings:
    """The settings of an ensemble, of which nothing is loaded.

    What validation chose, and the margin of the brain box, are those of the first folder; grids,
    windows and memory suit the most demanding one. Several folders have no intervals of volumes: those of
    each were calibrated on its own answers, which the mean does not give.

    Raises:
        ModelError: a folder without settings, or networks that see or answer different things.
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
    return _suiting_all(all_settings)


def _suiting_all(all_settings: Sequence[Settings]) -> Settings:
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
