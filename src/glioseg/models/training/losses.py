"""The loss of each output of a network, and its weight."""

from collections.abc import Callable, Iterable
from functools import partial

from keras import KerasTensor, ops

from glioseg.models.training.region_losses import dice_ce_loss, dice_loss, focal_tversky_loss, seed_loss
from glioseg.params.sections import Train

Loss = Callable[[KerasTensor, KerasTensor], KerasTensor]
"""From target and prediction to one number."""

OUTCOME_WEIGHT = 0.2
"""Weight of grade and of survival, as in the seed; the weights of the segmentation outputs sum to 1."""


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
