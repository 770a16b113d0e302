"""Random changes to training patches: drawing them is apart from applying them.

Each change happens with a chance of its own, which grows with the strength; how far it goes is drawn
from a fixed range, as in nnU-Net (Isensee et al. 2021). At a strength of one half most chances are
nnU-Net's own. Left and right are exchanged in every other patch at any strength; the other flips are
rarer, because a head is not the same upside down.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.models.training.augmentation.intensity import Brightness
from glioseg.models.training.augmentation.modality_dropout import ALL, Kept, draw_kept
from glioseg.models.training.augmentation.resolution import Sharpness
from glioseg.models.training.augmentation.spatial import Movement, brain_of

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """One drawn change of a patch; the default changes nothing.

    `kept` says which modalities stay; the others become 0 after all else.
    """

    movement: Movement = field(default_factory=Movement)
    sharpness: Sharpness = field(default_factory=Sharpness)
    brightness: Brightness = field(default_factory=Brightness)
    kept: Kept = ALL

    @classmethod
    def draw(cls, rng: np.random.Generator, *, strength: float, modality_dropout: float) -> "Augmentation":
        """Draw a change.

        Args:
            rng: source of the draw.
            strength: 0 changes nothing, 1 changes most patches.
            modality_dropout: chance that the patch lacks modalities.
        """
        return cls(
            Movement.draw(rng, strength=strength),
            Sharpness.draw(rng, strength=strength),
            Brightness.draw(rng, strength=strength),
            draw_kept(rng, chance=modality_dropout),
        )

    def apply(
        self, image: Float32[NDArray, "d h w 4"], label: UInt8[NDArray, "d h w"]
    ) -> tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Change a patch; voxels outside the brain (0 in every modality) stay 0.

        Args:
            image: normalised modalities; left untouched.
            label: dense labels, moved with the image.

        Returns:
            The changed image and label.
        """
        image, label = self.movement.apply(image, label)
        if (self.sharpness, self.brightness) != (Sharpness(), Brightness()):
            brain = brain_of(image)
            image = self.brightness.apply(self.sharpness.apply(image, brain), brain)
        return (image if all(self.kept) else image * np.asarray(self.kept, np.float32)), label
