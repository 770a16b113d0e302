"""Overlap of two label maps: Dice, sensitivity, specificity, and the two Dice values of the 2018 system."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.typing import NDArray

from glioseg.core.dice import dice_from_counts
from glioseg.core.errors import GliosegError
from glioseg.core.labels import Label

SEED_SMOOTH = 1.0
SEED_WEIGHTED_SMOOTH = 1e-5
"""Constants of the 2018 system, which keep its Dice values finite for empty masks."""

TUMOUR = tuple(label for label in Label if label is not Label.BACKGROUND)


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of two masks on one grid.

    Dice, sensitivity and specificity follow the rule for empty masks
    (docs/decisions/0002-empty-masks.md): two empty masks get the best value, one empty mask the worst.
    """

    hit_vox: int  # in truth and in prediction
    missed_vox: int  # in truth alone
    false_vox: int  # in prediction alone
    rest_vox: int  # in neither

    @property
    def dice(self) -> float:
        """2·|T ∩ P| / (|T| + |P|) (Dice 1945); 1 where both are empty."""
        total_vox = 2 * self.hit_vox + self.missed_vox + self.false_vox
        return float(dice_from_counts(self.hit_vox, total_vox))

    @property
    def sensitivity(self) -> float:
        """Share of the truth that is predicted; for an empty truth 1 without a prediction, else 0."""
        truth = self.hit_vox + self.missed_vox
        return self.hit_vox / truth if truth else float(self.false_vox == 0)

    @property
    def specificity(self) -> float:
        """Share of the grid outside the truth that is not predicted; 1 where the truth fills the grid."""
        outside = self.false_vox + self.rest_vox
        return self.rest_vox / outside if outside else 1.0


def confusion_matrix(
    truth: UInt8[NDArray, "d h w"], prediction: UInt8[NDArray, "_ _ _"]
) -> Int64[NDArray, "4 4"]:
    """Count the voxels of each pair of labels in one pass: row truth, column prediction.

    Args:
        truth: dense labels (`Label`) on the scan's own grid.
        prediction: dense labels on the same grid.

    Raises:
        GliosegError: the grids differ.

    >>> confusion_matrix(np.array([[[0, 1, 2]]], np.uint8), np.array([[[0, 1, 3]]], np.uint8)).tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    """
    if truth.shape != prediction.shape:
        raise GliosegError(f"prediction: expected shape {truth.shape}, got {prediction.shape}")
    kinds = len(Label)
    confusion = np.bincount((truth * np.uint8(kinds) + prediction).ravel(), minlength=kinds**2)
    return confusion.reshape(kinds, kinds)


def overlap(confusion: Int64[NDArray, "4 4"], members: Iterable[Label]) -> Overlap:
    """Count the voxels of one structure: the union of some labels.

    Args:
        confusion: as from `confusion_matrix`.
        members: the labels that make up the structure.

    >>> confusion = confusion_matrix(np.array([[[0, 1, 2]]], np.uint8), np.array([[[0, 1, 3]]], np.uint8))
    >>> overlap(confusion, [Label.NCR, Label.ET])
    Overlap(hit_vox=1, missed_vox=0, false_vox=1, rest_vox=1)
    """
    inside = mask_of(np.arange(len(Label), dtype=np.uint8), members)
    truth = confusion[inside].sum(axis=0)
    rest = confusion[~inside].sum(axis=0)
    return Overlap(
        hit_vox=int(truth[inside].sum()),
        missed_vox=int(truth[~inside].sum()),
        false_vox=int(rest[inside].sum()),
        rest_vox=int(rest[~inside].sum()),
    )


def mask_of(labels: UInt8[NDArray, "*grid"], members: Iterable[Label]) -> Bool[NDArray, "*grid"]:
    """Mark the voxels of a structure; a table lookup, eight times as fast as `np.isin`.

    >>> mask_of(np.array([0, 1, 2, 3], np.uint8), [Label.NCR, Label.ET]).tolist()
    [False, True, False, True]
    """
    table = np.zeros(len(Label), bool)
    table[list(members)] = True
    mask: NDArray[np.bool_] = table[labels]
    return mask


def seed_dice(confusion: Int64[NDArray, "4 4"]) -> float:
    """Dice of the 2018 system: over the three exclusive label channels and all voxels at once, smooth 1.

    (2·Σ T·P + 1) / (Σ T + Σ P + 1), where the sums run over channels and voxels together, so that a
    large label outweighs a small one. The 2018 system computed it from sigmoid outputs; this function
    computes it from labels.
    """
    hit, total = _channel_sums(confusion)
    return float(dice_from_counts(hit.sum(), total.sum(), smooth_vox=SEED_SMOOTH))


def seed_weighted_dice(confusion: Int64[NDArray, "4 4"]) -> float:
    """The "weighted" Dice of the 2018 system: the mean over the three exclusive label channels, smooth 1e-5.

    Per channel 2·(Σ T·P + s/2) / (Σ T + Σ P + s): each label has the same weight (Isensee et al. 2017).
    """
    hit, total = _channel_sums(confusion)
    return float(np.mean(dice_from_counts(hit, total, smooth_vox=SEED_WEIGHTED_SMOOTH)))


def _channel_sums(confusion: Int64[NDArray, "4 4"]) -> tuple[Int64[NDArray, "3"], Int64[NDArray, "3"]]:
    tumour = list(TUMOUR)
    return confusion.diagonal()[tumour], (confusion.sum(axis=0) + confusion.sum(axis=1))[tumour]
