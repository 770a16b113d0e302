"""Losses over overlapping regions (or exclusive labels), in `keras.ops` alone.

Every function takes truth, 0 to 1 (fractions where it was pooled to a coarser grid), and probabilities,
both (batch, D, H, W, regions). `batch` says what is summed before the fraction: True sums over all voxels
of the batch, those on other devices included, which keeps the gradient useful where one case lacks a region;
False scores case by case and averages, so that the loss of a batch is the mean of its cases' losses.
"""

from keras import KerasTensor, config, ops

from glioseg.models.training.multi_gpu import over_devices

SMOOTH_VOX = 1.0
"""Voxels added above and below the fraction: an empty region then scores 1 for an empty answer."""
FALSE_NEGATIVES, FALSE_POSITIVES, FOCUS = 0.7, 0.3, 4 / 3
"""Alpha, beta and gamma of the focal Tversky loss, as Abraham & Khan 2019 set them."""


def soft_dice(
    truth: KerasTensor, probabilities: KerasTensor, *, batch: bool, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Soft Dice of each region: (2 Σ p·g + s) / (Σ p + Σ g + s).

    Milletari et al. 2016 (V-Net) with plain sums below, as in Drozdzal et al. 2016. Where a region is
    empty, s lets the score rise towards 1 as the answer empties.

    Args:
        truth: as above.
        probabilities: as above.
        batch: as above.
        smooth_vox: s above.

    Returns:
        (regions,) or, case by case, (batch, regions); float32, 0 to 1.
    """
    both, size, answered = _sums(truth, probabilities, batch=batch)
    return (2 * both + smooth_vox) / (size + answered + smooth_vox)


def tversky(
    truth: KerasTensor, probabilities: KerasTensor, *, batch: bool, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Tversky index of each region: TP / (TP + α FN + β FP), with s added above and below.

    Salehi et al. 2017, Tversky loss function for image segmentation, arXiv:1706.05721. Missed voxels
    weigh more than false ones: α is `FALSE_NEGATIVES`, β is `FALSE_POSITIVES`.

    Returns:
        As `soft_dice` does.
    """
    both, size, answered = _sums(truth, probabilities, batch=batch)
    wrong = FALSE_NEGATIVES * (size - both) + FALSE_POSITIVES * (answered - both)
    return (both + smooth_vox) / (both + wrong + smooth_vox)


def dice_loss(truth: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """1 - soft Dice, averaged over the regions (and cases)."""
    return 1 - ops.mean(soft_dice(truth, probabilities, batch=batch))


def dice_ce_loss(
    truth: KerasTensor, probabilities: KerasTensor, *, batch: bool, cross_entropy_weight: float
) -> KerasTensor:
    """The Dice loss plus weighted binary cross-entropy.

    The sum is that of nnU-Net (Isensee et al. 2021), with a sigmoid for each region instead of a softmax.

    Args:
        truth: as above.
        probabilities: as above.
        batch: as above.
        cross_entropy_weight: weight of the cross-entropy, averaged over voxels, regions and cases; the
            Dice loss has weight 1.
    """
    entropy = ops.mean(ops.binary_crossentropy(ops.cast(truth, "float32"), probabilities))
    return dice_loss(truth, probabilities, batch=batch) + cross_entropy_weight * entropy


def focal_tversky_loss(truth: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """(1 - Tversky index)^(1/γ), averaged over the regions (and cases).

    Abraham & Khan 2019, A novel focal Tversky loss function with improved attention U-Net for lesion
    segmentation, arXiv:1810.07842; they sum over the regions. γ is `FOCUS`.
    """
    miss = 1 - tversky(truth, probabilities, batch=batch)
    # The power's slope at 0 is infinite: a perfect region would send NaN into the gradient.
    return ops.mean(ops.maximum(miss, config.epsilon()) ** (1 / FOCUS))


def _sums(
    truth: KerasTensor, probabilities: KerasTensor, *, batch: bool
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Voxels of each region in both, in the truth, and in the answer."""
    truth, probabilities = ops.cast(truth, "float32"), ops.cast(probabilities, "float32")
    voxels = tuple(range(0 if batch else 1, len(probabilities.shape) - 1))
    sums = [ops.sum(x, axis=voxels) for x in (truth * probabilities, truth, probabilities)]
    both, size, answered = over_devices(sums) if batch else sums
    return both, size, answered
