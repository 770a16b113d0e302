"""BraTS 2023's lesion-wise Dice and HD95: every lesion counts alike, and so does every invented one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.core.geometry import bounding_box
from glioseg.evaluation.hausdorff import Spacing3, hausdorff_mm

DILATION_VOX = 3
MIN_LESION_MM3 = 50.0
PENALTY_MM = 374.0
"""For adult glioma (GLI), from the challenge's code: github.com/rachitsaluja/BraTS-2023-Metrics."""

NEAR = ndimage.generate_binary_structure(3, 2)
TOUCHING = ndimage.generate_binary_structure(3, 3)
"""That code dilates by the 18 neighbours that share a face or an edge; a component has all 26."""


@dataclass(frozen=True)
class LesionScores:
    """Means over the lesions of one region, and how many count, were missed and were invented."""

    dice: float
    hd95_mm: float
    lesions: int
    missed: int
    false: int


def lesion_scores(
    truth: Bool[NDArray, "d h w"], prediction: Bool[NDArray, "d h w"], *, spacing_mm: Spacing3
) -> LesionScores:
    """Score one region lesion by lesion, as BraTS 2023 does.

    True voxels are one lesion where they connect once dilated by 3 voxels. A connected part of the
    prediction belongs to each lesion whose dilated voxels it touches; a lesion is compared with all of
    its parts together. A lesion without a part is missed and a part without a lesion is false: both
    count Dice 0 and HD95 374 mm. Lesions up to 50 mm³ do not count, but a part that touches one is not
    false. The means divide by the lesions that count plus the false parts.

    Dice and HD95 of a pair are those of `overlap` and `distances`; the challenge's own code takes its
    HD95 from surface-distance, which lies within a voxel's diagonal of it.

    Args:
        truth: mask of the region, voxels.
        prediction: mask on the same grid.
        spacing_mm: distance of neighbouring voxels along each axis.

    Returns:
        Dice 1 and HD95 0 where no lesion counts and no part is false.

    >>> truth = np.zeros((20, 20, 20), bool); truth[2:6, 2:6, 2:6] = True   # 64 mm³
    >>> prediction = truth.copy(); prediction[15, 15, 15] = True            # and a false part
    >>> lesion_scores(truth, prediction, spacing_mm=(1, 1, 1))
    LesionScores(dice=0.5, hd95_mm=187.0, lesions=1, missed=0, false=1)
    """
    either = truth | prediction
    if not either.any():
        return LesionScores(1.0, 0.0, lesions=0, missed=0, false=0)
    # What dilated lesions reach outside this box holds no prediction, and joins none that is apart inside.
    box = bounding_box(either).slices
    return _scores(truth[box], prediction[box], spacing_mm)


def _scores(
    truth: Bool[NDArray, "d h w"], prediction: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> LesionScores:
    # What a lesion reaches when dilated alone is its component of all lesions dilated together.
    reach, _ = ndimage.label(ndimage.binary_dilation(truth, NEAR, DILATION_VOX), TOUCHING)
    parts, count = ndimage.label(prediction, TOUCHING)
    belongs = _belongs(reach, parts, prediction, count)
    volumes_mm3 = np.bincount(reach[truth], minlength=len(belongs)) * float(np.prod(spacing_mm))
    counting = np.flatnonzero(volumes_mm3 > MIN_LESION_MM3)
    missed = int((~belongs[counting].any(axis=1)).sum())
    false = count - int(belongs.any(axis=0).sum())
    pairs = [
        _pair(truth & (reach == lesion), belongs[lesion][parts], spacing_mm)
        for lesion in counting
        if belongs[lesion].any()
    ]
    scores = pairs + [(0.0, PENALTY_MM)] * (missed + false)
    dice, hd95_mm = np.mean(scores, axis=0) if scores else (1.0, 0.0)
    return LesionScores(float(dice), float(hd95_mm), len(counting), missed, false)


def _belongs(
    reach: Int32[NDArray, "d h w"],
    parts: Int32[NDArray, "d h w"],
    prediction: Bool[NDArray, "d h w"],
    count: int,
) -> Bool[NDArray, "lesions parts"]:
    """Which part touches which lesion; row and column 0 stand for the background."""
    belongs = np.zeros((int(reach.max()) + 1, count + 1), bool)
    belongs[reach[prediction], parts[prediction]] = True
    belongs[0] = belongs[:, 0] = False
    return belongs


def _pair(
    lesion: Bool[NDArray, "d h w"], found: Bool[NDArray, "d h w"], spacing_mm: Spacing3
) -> tuple[float, float]:
    dice = 2 * float((lesion & found).sum()) / float(lesion.sum() + found.sum())
    return dice, hausdorff_mm(lesion, found, spacing_mm=spacing_mm)
