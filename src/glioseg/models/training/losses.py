"""The loss of each output of a network, and its weight, in `keras.ops` alone.

The segmentation losses are over overlapping regions or exclusive labels. They take the target, 0 to 1
(fractions where it was pooled to a coarser grid), and probabilities, both (batch, D, H, W, channels). `batch`
selects the sums in numerator and denominator: True sums over all voxels of the batch, on all devices, which
keeps the gradient useful where a case lacks a region; False scores each case and averages, so that the loss
of a batch is the mean of its cases' losses.
"""

from collections.abc import Callable, Iterable
from functools import partial

from keras import KerasTensor, config, ops

from glioseg.models.training.distributed import sum_over_devices
from glioseg.params.sections import Train

Loss = Callable[[KerasTensor, KerasTensor], KerasTensor]
"""From target and prediction to one number."""

OUTCOME_WEIGHT = 0.2
"""Weight of grade and of survival, as in the seed; the weights of the segmentation outputs sum to 1."""

SMOOTH_VOX = 1.0
"""Added to numerator and denominator: an empty prediction of an empty region then scores 1."""
SEED_SMOOTH_VOX, SEED_WEIGHTED_SMOOTH_VOX = 1.0, 1e-5
"""The same for `seed_dice` and `seed_weighted_dice`, the metrics of the 2018 system."""
FALSE_NEGATIVE_WEIGHT, FALSE_POSITIVE_WEIGHT, FOCAL_GAMMA = 0.7, 0.3, 4 / 3
"""Alpha, beta and gamma of the focal Tversky loss, from Abraham & Khan 2019."""


def compile_losses(outputs: Iterable[str], train: Train) -> tuple[dict[str, Loss], dict[str, float]]:
    """The losses and weights for `keras.Model.compile`.

    Each scale of the segmentation has half the weight of the next finer one, as in nnU-Net (Isensee et al.
    2021).

    Args:
        outputs: the network's outputs, as `unet.build_unet` names them.
        train: settings with the loss and the sums of its voxels.

    Returns:
        A loss and a weight for each output. The losses of "segmentation_2" and "segmentation_4" take the
        full-resolution target, as "segmentation" does.

    Raises:
        ValueError: an unknown output.
    """
    names = list(outputs)
    scales = {name: _scale(name) for name in names if name not in OUTCOME_LOSSES}
    total = sum(1 / scale for scale in scales.values())
    full_resolution = segmentation_loss(train)
    losses = {
        name: OUTCOME_LOSSES[name] if name in OUTCOME_LOSSES else at_scale(full_resolution, scales[name])
        for name in names
    }
    weights = {name: OUTCOME_WEIGHT if name in OUTCOME_LOSSES else 1 / scales[name] / total for name in names}
    return losses, weights


def segmentation_loss(train: Train) -> Loss:
    """The loss that `train.loss` names."""
    batch = train.batch_dice
    losses: dict[str, Loss] = {
        "dice": partial(dice_loss, batch=batch),
        "dice_ce": partial(dice_ce_loss, batch=batch, cross_entropy_weight=train.cross_entropy_weight),
        "focal_tversky": partial(focal_tversky_loss, batch=batch),
        "seed": partial(seed_loss, batch=batch),
    }
    named = losses[train.loss]

    def loss(target: KerasTensor, prediction: KerasTensor) -> KerasTensor:  # Keras cannot save a partial
        return named(target, prediction)

    return loss


def at_scale(loss: Loss, scale: int) -> Loss:
    """The loss of a prediction on a coarser grid: the target is averaged over blocks of `scale`³ voxels."""
    if scale == 1:
        return loss

    def coarse(target: KerasTensor, prediction: KerasTensor) -> KerasTensor:
        target = ops.cast(target, "float32")
        return loss(ops.average_pool(target, scale, scale, "valid", data_format="channels_last"), prediction)

    return coarse


def _scale(output: str) -> int:
    """The edge of a voxel of a segmentation output, in voxels at full resolution."""
    name, _, scale = output.partition("_")
    if name != "segmentation" or not (scale or "1").isdigit():
        raise ValueError(f"outputs: expected segmentation, segmentation_N, grade or survival, got {output}")
    return int(scale or 1)


def grade_loss(target: KerasTensor, probability: KerasTensor) -> KerasTensor:
    """Binary cross-entropy; a case with unknown grade costs 0 and has no gradient, see `_by_case`.

    Args:
        target: 1 for a low-grade glioma, 0 for a high-grade one, NaN for unknown; (batch, 1) or (batch,).
        probability: of a low-grade glioma; (batch, 1) or (batch,).
    """
    known, safe, probability = _by_case(target, probability)
    return ops.mean(ops.where(known, ops.binary_crossentropy(safe, probability), 0.0))


def survival_loss(target: KerasTensor, years: KerasTensor) -> KerasTensor:
    """Squared error in years²; a case with unknown survival costs 0 and has no gradient, see `_by_case`.

    Args:
        target: survival in years, NaN for unknown; (batch, 1) or (batch,).
        years: predicted survival; (batch, 1) or (batch,).
    """
    known, safe, years = _by_case(target, years)
    return ops.mean(ops.where(known, ops.square(years - safe), 0.0))


def _by_case(target: KerasTensor, prediction: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """The mask of known targets, the targets with 0 for unknown ones, and the prediction; each (batch,).

    Losses are averaged over all cases, known or not. Thus the weight of a known case does not depend on the
    other cases of its batch, and a batch can be divided among devices.
    """
    target, prediction = (ops.reshape(ops.cast(x, "float32"), (-1,)) for x in (target, prediction))
    known = ops.logical_not(ops.isnan(target))
    # Masking only the result is not enough: NaN × 0 is NaN, and would reach the gradient.
    return known, ops.where(known, target, 0.0), prediction


OUTCOME_LOSSES: dict[str, Loss] = {"grade": grade_loss, "survival": survival_loss}


def soft_dice(
    target: KerasTensor, probabilities: KerasTensor, *, batch: bool, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Soft Dice of each region: (2 Σ p·g + s) / (Σ p + Σ g + s).

    Milletari et al. 2016 (V-Net), with plain sums in the denominator as in Drozdzal et al. 2016. For an empty
    region, the score approaches 1 as the prediction approaches 0, because of s.

    Args:
        target: see the top of the module.
        probabilities: see the top of the module.
        batch: see the top of the module.
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
        target: see the top of the module.
        probabilities: see the top of the module.
        batch: see the top of the module.
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
        target: see the top of the module.
        probabilities: see the top of the module.
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
