"""Data augmentation: random transforms of training patches; `sample` and `apply` are separate.

Every transform has its own probability, which is proportional to the strength; its magnitude has a fixed
range, as in nnU-Net (Isensee et al. 2021). At strength 0.5 most probabilities are those of nnU-Net.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.modalities import MODALITIES
from glioseg.models.training.augmentation.intensity import IntensityTransform, ResolutionTransform
from glioseg.models.training.augmentation.spatial import SpatialTransform

__all__ = ["Augmentation"]

ModalityMask = tuple[bool, ...]
"""Which of `MODALITIES` a patch keeps."""

ALL_MODALITIES: ModalityMask = (True,) * len(MODALITIES)


@dataclass(frozen=True)
class Augmentation:
    """A sampled augmentation of a patch; the default is the identity.

    `kept_modalities`: the modalities that the patch keeps; the others are set to 0 after all transforms.
    """

    spatial: SpatialTransform = field(default_factory=SpatialTransform)
    resolution: ResolutionTransform = field(default_factory=ResolutionTransform)
    intensity: IntensityTransform = field(default_factory=IntensityTransform)
    kept_modalities: ModalityMask = ALL_MODALITIES

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float, modality_dropout: float) -> "Augmentation":
        """A random augmentation.

        Args:
            rng: random generator.
            strength: 0 changes nothing, 1 changes most patches.
            modality_dropout: probability that modalities are dropped.
        """
        return cls(
            SpatialTransform.sample(rng, strength=strength),
            ResolutionTransform.sample(rng, strength=strength),
            IntensityTransform.sample(rng, strength=strength),
            sample_modality_mask(rng, probability=modality_dropout),
        )

    def apply(
        self, image: Float32[NDArray, "d h w 4"], label: UInt8[NDArray, "d h w"]
    ) -> tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """The augmented patch; voxels outside the brain (0 in every modality) stay 0.

        Args:
            image: normalised modalities; not modified.
            label: dense labels; only the spatial transform changes them.

        Returns:
            Image and label.
        """
        image, label = self.spatial.apply(image, label)
        if (self.resolution, self.intensity) != (ResolutionTransform(), IntensityTransform()):
            brain = brain_mask_of_channels(image)
            image = self.intensity.apply(self.resolution.apply(image, brain), brain)
        if not all(self.kept_modalities):
            image = image * np.asarray(self.kept_modalities, np.float32)
        return image, label


def sample_modality_mask(rng: np.random.Generator, *, probability: float) -> ModalityMask:
    """Which modalities a patch keeps: modality dropout.

    One network then learns to segment every subset of the modalities (HeMIS: Havaei et al. 2016).

    Args:
        rng: random generator.
        probability: probability that modalities are dropped; all non-empty proper subsets are then equally
            likely.
    """
    drops = rng.random() < probability
    subset = int(rng.integers(1, 2 ** len(MODALITIES) - 1))  # a bit for each modality; neither none nor all
    if not drops:
        return ALL_MODALITIES
    return tuple(bool(subset >> channel & 1) for channel in range(len(MODALITIES)))
