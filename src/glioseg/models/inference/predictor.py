"""From raw volumes to a prediction on the scan's own grid: shared by predict, evaluate and serving.

Crop (`data/store`) → forward passes (`forward`) → label map (`postprocess`) → uncertainty, quality.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.geometry import upsample
from glioseg.core.nifti import Volume
from glioseg.data.store.cropping import Placement, crop_brain_mask, place_crop, uncrop
from glioseg.data.store.resampling import NetworkGrid
from glioseg.models.inference.calibration import apply_temperature
from glioseg.models.inference.forward import Image, NetworkOutput, run_networks, window_gb
from glioseg.models.inference.missing_modalities import (
    missing_modalities,
    missing_modality_reasons,
    not_judged,
    withhold_volumes,
)
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.out_of_distribution import compute_features
from glioseg.models.inference.postprocess import final_labels, labels_and_expected_dice
from glioseg.models.inference.prediction import BrainProbabilities, Prediction
from glioseg.models.inference.uncertainty import entropy_bits, mean_bits, region_volumes
from glioseg.models.networks.outputs import DAYS_PER_YEAR
from glioseg.params.contract import Contract

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Predictor:
    """Trained networks, whose outputs are averaged, with their settings.

    `contract`: requirements on a scan. It sets the tolerance between the affines of a case, and the spacing
    of the training scans, to which other scans are resampled.
    """

    models: tuple["keras.Model", ...]
    settings: Settings
    contract: Contract = field(default_factory=Contract)

    def predict(self, images: Mapping[str, Volume]) -> Prediction:
        """The labels of a case, their uncertainty and the expected quality.

        Args:
            images: a volume for each of `MODALITIES`, or for some of them, all on one grid, in any
                orientation and of any spacing.

        Raises:
            GliosegError: no modality is given, grids differ, or the memory budget is too small.
            ResamplingError: the scan must be resampled, and is too large for the memory budget.
        """
        image, grid, output = self._run_networks(images)
        missing = missing_modalities(image)
        placement = grid.placement
        brain = crop_brain_mask(images, placement)
        in_brain, labels = self._label(output, grid, brain)
        probabilities = apply_temperature(in_brain, self.settings.temperature)
        entropy = np.zeros(brain.shape, np.float32)
        entropy[brain] = entropy_bits(probabilities)
        volumes = region_volumes(
            labels, probabilities, intervals=self.settings.volume_intervals, voxel_ml=_voxel_ml(placement)
        )
        confidence, reasons = self._estimate_quality(image, output, missing)
        years = output.outcomes.get("survival")
        return Prediction(
            labels=uncrop(labels, placement),
            entropy_bits=uncrop(entropy, placement),
            volumes=withhold_volumes(volumes, missing),
            probabilities=BrainProbabilities(probabilities, brain, placement),
            missing=missing,
            mean_bits=mean_bits(entropy, labels, brain),
            confidence=confidence,
            low_confidence_reasons=reasons,
            calibrated_on=self.settings.calibrated_on,
            grade_lgg=output.outcomes.get("grade"),
            survival_days=None if years is None else years * DAYS_PER_YEAR,
        )

    def segment(self, images: Mapping[str, Volume]) -> UInt8[NDArray, "d h w"]:
        """The dense labels of `predict` alone, on the scan's own grid, 0 outside the brain."""
        _, grid, output = self._run_networks(images)
        _, labels = self._label(output, grid, crop_brain_mask(images, grid.placement))
        return uncrop(labels, grid.placement)

    def _run_networks(self, images: Mapping[str, Volume]) -> tuple[Image, NetworkGrid, NetworkOutput]:
        """The input of the networks, its grid, and their output on that grid."""
        placement = place_crop(
            images,
            margin_vox=self.settings.margin_vox,
            affine_tolerance=self.contract.affine.rejection_threshold_mm,
        )
        grid = NetworkGrid(placement, self.contract.spacing.mm, self.settings.spacing_mm)
        least_gb = window_gb(self.settings, len(self.models))
        scan_bytes = sum(volume.data.nbytes for volume in images.values())
        grid.check_memory(self.settings.memory_gb, window_gb=least_gb, scan_bytes=scan_bytes)
        image = grid.image(images)
        return image, grid, run_networks(self.models, image, self.settings)

    def _label(
        self, output: NetworkOutput, grid: NetworkGrid, brain: Bool[NDArray, "d h w"]
    ) -> tuple[Float32[NDArray, "voxels 3"], UInt8[NDArray, "d h w"]]:
        """Probabilities of the brain's voxels, and final labels inside the crop, in the scan's voxels."""
        regions = grid.to_crop(output.regions)
        regions[~brain] = 0
        labels = final_labels(regions, self.settings, voxel_ml=_voxel_ml(grid.placement))
        return regions[brain], labels

    def _estimate_quality(
        self, image: Image, output: NetworkOutput, missing: tuple[str, ...]
    ) -> tuple[dict[str, float | None], tuple[str, ...]]:
        """The estimated Dice of each region, and the reasons for low confidence."""
        estimator, reasons = self.settings.confidence, missing_modality_reasons(missing)
        if estimator is None:
            return {}, reasons
        _, expected = labels_and_expected_dice(image, output, self.settings)
        unjudged = not_judged(missing)
        judged = {
            name: dice for name, dice in estimator.estimate_dice(expected).items() if name not in unjudged
        }
        features = compute_features(image, spacing_mm=self.settings.spacing_mm)
        basis = " (synthetic)" if self.settings.calibrated_on == "synthetic" else ""
        found = estimator.low_confidence_reasons(judged, features, basis=basis)
        return judged | dict.fromkeys(unjudged), (*reasons, *found)


def _voxel_ml(placement: Placement) -> float:
    return math.prod(placement.grid.spacing_mm) / 1000


def probabilities_at_1_mm(
    regions: Float32[NDArray, "e i x 3"], brain: Bool[NDArray, "d h w"], *, spacing_mm: int
) -> Float32[NDArray, "d h w 3"]:
    """A network's probabilities on the 1 mm grid of the crop, 0 outside the brain.

    Args:
        regions: probabilities at the network's spacing; may be overwritten.
        brain: brain mask of the crop at 1 mm.
        spacing_mm: spacing of the network.
    """
    d, h, w = brain.shape
    fine = upsample(regions, spacing_mm, (d, h, w)) if spacing_mm > 1 else regions
    fine[~brain] = 0
    return fine
