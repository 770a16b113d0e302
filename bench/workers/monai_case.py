"""A case as MONAI reads it, and the way back to the scan's own grid."""

from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms import CropForeground, LoadImage, NormalizeIntensity

CROP = CropForeground(select_fn=lambda x: x != 0, return_coords=True)
NORMALISE = NormalizeIntensity(nonzero=True, channel_wise=True)


@dataclass(frozen=True)
class Case:
    """`image`: (4, D, H, W) float32, cropped to the brain and normalised; `brain`: (D, H, W) bool."""

    image: torch.Tensor
    brain: np.ndarray
    start: np.ndarray
    shape: tuple[int, ...]
    affine: np.ndarray

    def uncrop(self, regions: torch.Tensor) -> np.ndarray:
        """Nested labels (1 in WT, 2 in TC too, 3 in ET too) of (3, D, H, W) bool, on the scan's grid."""
        wt, tc, et = regions.numpy() & self.brain
        out = np.zeros(self.shape, np.uint8)
        box = tuple(slice(a, a + n) for a, n in zip(self.start, wt.shape, strict=True))
        out[box] = wt + (wt & tc).astype(np.uint8) + (wt & tc & et)
        return out


def read(files: list[str]) -> Case:
    """Read the four images of a case."""
    image = LoadImage(ensure_channel_first=True)(files)
    cropped, start, _ = CROP(image)
    tensor = cropped.as_tensor()
    brain = (tensor != 0).any(0).numpy()
    return Case(NORMALISE(tensor), brain, start, tuple(image.shape[1:]), image.affine.numpy())
