"""Lesion-wise Dice and HD95 of BraTS 2023: every lesion and every false positive has the same weight."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.dice import dice_from_counts
from glioseg.core.geometry import Spacing3, bounding_box
from glioseg.evaluation.surface import hausdorff_mm

DILATION_VOX = 3
MIN_LESION_MM3 = 50.0
PENALTY_MM = 374.0
"""For adult glioma (GLI), from the challenge's code: github.com/rachitsaluja/BraTS-2023-Metrics."""

CONNECTIVITY_18 = ndimage.generate_binary_structure(3, 2)
CONNECTIVITY_26 = ndimage.generate_binary_structure(3, 3)
"""The challenge's code dilates by the 18 neighbours that share a face or an edge; components use all 26."""


@dataclass(frozen=True)
class LesionScores:
    """Means over the lesions of one region, and the numbers of true, missed and false lesions."""

    dice: float
    hd95_mm: float
    lesions: int
    missed: int
    false: int


def lesion_scores(
    truth: Bool[NDArray, "d h w"], prediction: Bool[NDArray, "d h w"], *, spacing_mm: Spacing3
) -> LesionScores:
    """Score one region lesion by lesion, as BraTS 2023 does.

    True voxels that connect after dilation by 3 voxels form one lesion. A connected component of the
    prediction matches each lesion whose dilated voxels it overlaps; a lesion is compared with the union
    of its matching components. A lesion without a match is missed, and a component without a match is
    false: both score Dice 0 and HD95 374 mm. Lesions up to 50 mm³ are not scored, but a component that
    matches one is not false. The means divide by the scored lesions plus the false components.

    Dice and HD95 of a pair are those of `overlap` and `surface`, as in the challenge's own code.

    Args:
        truth: mask of the region, voxels.
        prediction: mask on the same grid.
        spacing_mm: distance of neighbouring voxels along each axis.

    Returns:
        Dice 1 and HD95 0 without scored lesions and false components.

    >>> truth = np.zeros((20, 20, 20), bool); truth[2:6, 2:6, 2:6] = True   # 64 mm³
    >>> prediction = truth.copy(); prediction[15, 15, 15] = True            # and a false component
    >>> lesion_scores(truth, prediction, spacing_mm=(1, 1, 1))
    LesionScores(dice=0.5, hd95_mm=187.0, lesions=1, missed=0, false=1)
    """
    either = truth | prediction
    if not either.any():
        return LesionScores(1.0, 0.0, lesions=0, missed=0, false=0)
    # Outside this box there is no prediction, and dilation there joins no lesions that are separate inside.
    box = bounding_box(either).slices
    return _scores(truth[box], prediction[box], spacing_mm)


def _scores(
    truth: Bool[NDArray, "d h w"], prediction: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> LesionScores:
    # The dilation of a single lesion equals its component in the dilation of all lesions together.
    zones, _ = ndimage.label(ndimage.binary_dilation(truth, CONNECTIVITY_18, DILATION_VOX), CONNECTIVITY_26)
    components, count = ndimage.label(prediction, CONNECTIVITY_26)
    matches = _matches(zones, components, prediction, count)
    volumes_mm3 = np.bincount(zones[truth], minlength=len(matches)) * float(np.prod(spacing_mm))
    scored = np.flatnonzero(volumes_mm3 > MIN_LESION_MM3)
    missed = int((~matches[scored].any(axis=1)).sum())
    false = count - int(matches.any(axis=0).sum())
    pairs = [
        _compare(truth & (zones == lesion), matches[lesion][components], spacing_mm)
        for lesion in scored
        if matches[lesion].any()
    ]
    scores = pairs + [(0.0, PENALTY_MM)] * (missed + false)
    dice, hd95_mm = np.mean(scores, axis=0) if scores else (1.0, 0.0)
    return LesionScores(float(dice), float(hd95_mm), len(scored), missed, false)


def _matches(
    zones: Int32[NDArray, "d h w"],
    components: Int32[NDArray, "d h w"],
    prediction: Bool[NDArray, "d h w"],
    count: int,
) -> Bool[NDArray, "lesions components"]:
    """Whether each component overlaps each dilated lesion; row and column 0 are the background."""
    matches = np.zeros((int(zones.max()) + 1, count + 1), bool)
    matches[zones[prediction], components[prediction]] = True
    matches[0] = matches[:, 0] = False
    return matches


def _compare(
    lesion: Bool[NDArray, "d h w"], predicted: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> tuple[float, float]:
    dice = float(dice_from_counts((lesion & predicted).sum(), lesion.sum() + predicted.sum()))
    return dice, hausdorff_mm(lesion, predicted, spacing_mm=spacing_mm)
