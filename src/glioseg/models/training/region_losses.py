"""Segmentation losses over overlapping regions or exclusive labels, in `keras.ops` alone.

Every function takes the target, 0 to 1 (fractions where it was pooled to a coarser grid), and probabilities,
both (batch, D, H, W, channels). `batch` selects the sums in numerator and denominator: True sums over all
voxels of the batch, on all devices, which keeps the gradient useful where a case lacks a region; False scores
each case and averages, so that the loss of a batch is the mean of its cases' losses.
"""

from keras import KerasTensor, config, ops

from glioseg.models.training.multi_gpu import sum_over_devices

SMOOTH_VOX = 1.0
"""Added to numerator and denominator: an empty prediction of an empty region then scores 1."""
SEED_SMOOTH_VOX, SEED_WEIGHTED_SMOOTH_VOX = 1.0, 1e-5
"""The same for `seed_dice` and `seed_weighted_dice`, the metrics of the 2018 system."""
FALSE_NEGATIVE_WEIGHT, FALSE_POSITIVE_WEIGHT, FOCAL_GAMMA = 0.7, 0.3, 4 / 3
"""Alpha, beta and gamma of the focal Tversky loss, from Abraham & Khan 2019."""


def soft_dice(
    target: KerasTensor, probabilities: KerasTensor, *, batch: bool, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Soft Dice of each region: (2 Σ p·g + s) / (Σ p + Σ g + s).

    Milletari et al. 2016 (V-Net), with plain sums in the denominator as in Drozdzal et al. 2016. For an empty
    region, the score approaches 1 as the prediction approaches 0, because of s.

    Args:
        target: as above.
        probabilities: as above.
        batch: as above.
        smooth_vox: s of the formula.

    Returns:
        (regions,), or (batch, regions) if `batch` is False; float32, 0 to 1.
    """
    shared, true, predicted = _sums(target, probabilities, batch=batch)
    return (2 * shared + smooth_vox) / (true + predicted + smooth_vox)


def tversky(
    target: KerasTensor, probabilities: KerasTensor, *, batch: bool, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Tversky index of each region: (TP + s) / (TP + α FN + β FP + s).

    Salehi et al. 2017, Tversky loss function for image segmentation, arXiv:1706.05721. Missed voxels
    weigh more than false positives: α is `FALSE_NEGATIVE_WEIGHT`, β is `FALSE_POSITIVE_WEIGHT`.

    Returns:
        As `soft_dice`.
    """
    shared, true, predicted = _sums(target, probabilities, batch=batch)
    errors = FALSE_NEGATIVE_WEIGHT * (true - shared) + FALSE_POSITIVE_WEIGHT * (predicted - shared)
    return (shared + smooth_vox) / (shared + errors + smooth_vox)


def dice_loss(target: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """1 - soft Dice, averaged over regions, and over cases if `batch` is False."""
    return 1 - ops.mean(soft_dice(target, probabilities, batch=batch))


def dice_ce_loss(
    target: KerasTensor, probabilities: KerasTensor, *, batch: bool, cross_entropy_weight: float
) -> KerasTensor:
    """Dice loss plus weighted binary cross-entropy.

    nnU-Net's loss (Isensee et al. 2021), with a sigmoid for each region instead of a softmax.

    Args:
        target: as above.
        probabilities: as above.
        batch: as above.
        cross_entropy_weight: weight of the cross-entropy, which is averaged over voxels, regions and cases;
            the Dice loss has weight 1.
    """
    entropy = ops.mean(ops.binary_crossentropy(ops.cast(target, "float32"), probabilities))
    return dice_loss(target, probabilities, batch=batch) + cross_entropy_weight * entropy


def focal_tversky_loss(target: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """(1 - Tversky index)^(1/γ), averaged over regions, and over cases if `batch` is False.

    Abraham & Khan 2019, A novel focal Tversky loss function with improved attention U-Net for lesion
    segmentation, arXiv:1810.07842; the paper sums over the regions. γ is `FOCAL_GAMMA`.
    """
    distance = 1 - tversky(target, probabilities, batch=batch)
    # The derivative of the power is infinite at 0: a perfect region would make the gradient NaN.
    return ops.mean(ops.maximum(distance, config.epsilon()) ** (1 / FOCAL_GAMMA))


def _sums(
    target: KerasTensor, probabilities: KerasTensor, *, batch: bool
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Voxels of each region in target and prediction, in the target, and in the prediction."""
    target, probabilities = ops.cast(target, "float32"), ops.cast(probabilities, "float32")
    voxels = tuple(range(0 if batch else 1, len(probabilities.shape) - 1))
    sums = [ops.sum(x, axis=voxels) for x in (target * probabilities, target, probabilities)]
    shared, true, predicted = sum_over_devices(sums) if batch else sums
    return shared, true, predicted


def seed_dice(target: KerasTensor, probabilities: KerasTensor, *, batch: bool = True) -> KerasTensor:
    """Soft Dice over all channels and voxels at once, as in the 2018 system; large regions weigh most.

    Args:
        target: as above.
        probabilities: as above.
        batch: True sums also over all cases, as in the 2018 system; False averages over cases.
    """
    target, probabilities = (_one_channel(x) for x in (target, probabilities))
    return ops.mean(soft_dice(target, probabilities, batch=batch, smooth_vox=SEED_SMOOTH_VOX))


def seed_weighted_dice(target: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
    """Soft Dice of each case and channel, averaged, so that all regions weigh the same."""
    return ops.mean(soft_dice(target, probabilities, batch=False, smooth_vox=SEED_WEIGHTED_SMOOTH_VOX))


def seed_loss(target: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """1 - `seed_dice`, the loss of the 2018 system."""
    return 1 - seed_dice(target, probabilities, batch=batch)


def _one_channel(x: KerasTensor) -> KerasTensor:
    """The tensor as one channel, (batch, voxels of all channels, 1)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, 1))
