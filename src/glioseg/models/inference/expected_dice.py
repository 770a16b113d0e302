"""What a network believes of its own answer.

With calibrated probabilities p and the answer ŷ, the Dice to be believed is 2·Σ p·ŷ / (Σp + Σŷ). It is
reckoned on the network's own grid: on a finer one probabilities are smoother, and promise less.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.calibration import calibrate
from glioseg.models.inference.postprocess import LabelMap, final_labels

if TYPE_CHECKING:
    from glioseg.models.inference.model_settings import Settings


@dataclass(frozen=True)
class Belief:
    """What a network's probabilities promise one answer, of WT, TC and ET each.

    `dice`: expected overlap; of an empty answer that of the region around it; `empty`: what was not found.
    """

    dice: Float64[NDArray, "3"]
    empty: Bool[NDArray, "3"]


def belief_of(
    image: Float32[NDArray, "d h w 4"], regions: Float32[NDArray, "d h w 3"], settings: "Settings"
) -> tuple[Belief, LabelMap]:
    """The belief in what was found in a crop, and its final labels, both on the network's own grid.

    Args:
        image: what the network saw.
        regions: probabilities that it answered, not calibrated yet.
        settings: say how answers are cleaned and calibrated.
    """
    brain: NDArray[np.bool_] = np.logical_or.reduce(image != 0, axis=-1)
    seen = np.where(brain[..., np.newaxis], regions, np.float32(0))
    labels = final_labels(seen, settings, voxel_ml=settings.spacing_mm**3 / 1000)
    return believe(labels[brain], calibrate(regions[brain], settings.temperature)), labels


def believe(labels: UInt8[NDArray, "voxels"], regions: Float32[NDArray, "voxels 3"]) -> Belief:
    """What probabilities promise an answer.

    Args:
        labels: the final dense labels of the brain's voxels.
        regions: the same voxels' calibrated probabilities.

    >>> likely = np.array([[0.9, 0.6, 0.1], [0.6, 0.2, 0.0]], np.float32)
    >>> believe(np.array([1, 2], np.uint8), likely).dice.round(3).tolist()  # 3 / 3.5, 1.2 / 1.8, as TC
    [0.857, 0.667, 0.667]
    """
    answer = regions_from_labels(labels)
    both = np.where(answer, regions, np.float32(0)).sum(axis=0, dtype=np.float64)
    each = regions.sum(axis=0, dtype=np.float64) + answer.sum(axis=0)
    dice = 2 * both / np.maximum(each, 1e-9)
    empty: NDArray[np.bool_] = answer.sum(axis=0) == 0
    around = 0.5  # around the whole tumour there is nothing to go by
    for region in range(len(REGIONS)):
        around = dice[region] = around if empty[region] else dice[region]
    return Belief(dice, empty)
