"""Which loss each output of a network is trained with, and how much it weighs."""

from collections.abc import Callable, Iterable
from functools import partial

from keras import KerasTensor, ops

from glioseg.models.training.baseline_2018 import seed_loss
from glioseg.models.training.outcome_losses import grade_loss, survival_loss
from glioseg.models.training.region_losses import dice_ce_loss, dice_loss, focal_tversky_loss
from glioseg.params.sections import Train

Loss = Callable[[KerasTensor, KerasTensor], KerasTensor]
"""From truth and answer to one number."""

OUTCOME_WEIGHT = 0.2
"""Weight of grade and of survival, as in the seed; the segmentation's weights sum to 1."""
OUTCOME_LOSSES: dict[str, Loss] = {"grade": grade_loss, "survival": survival_loss}


def compile_losses(outputs: Iterable[str], train: Train) -> tuple[dict[str, Loss], dict[str, float]]:
    """The losses and weights for `keras.Model.compile`.

    Each scale of the segmentation weighs half of the next finer one, as in nnU-Net (Isensee et al. 2021).

    Args:
        outputs: the network's outputs, as `unet.build_unet` names them.
        train: which loss, and how it is summed.

    Returns:
        A loss and a weight for each output. The truth of "segmentation_2" and "segmentation_4" is that
        of "segmentation", at full resolution.

    Raises:
        ValueError: an output that no network has.
    """
    names = list(outputs)
    scales = {name: _scale(name) for name in names if name not in OUTCOME_LOSSES}
    total = sum(1 / scale for scale in scales.values())
    at_full = segmentation_loss(train)
    losses = {
        name: OUTCOME_LOSSES[name] if name in OUTCOME_LOSSES else at_scale(at_full, scales[name])
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

    def loss(truth: KerasTensor, answer: KerasTensor) -> KerasTensor:  # Keras cannot save a partial
        return named(truth, answer)

    return loss


def at_scale(loss: Loss, scale: int) -> Loss:
    """The same loss for an answer on a coarser grid: the truth is averaged over blocks of `scale`³ voxels."""
    if scale == 1:
        return loss

    def coarse(truth: KerasTensor, answer: KerasTensor) -> KerasTensor:
        truth = ops.cast(truth, "float32")
        return loss(ops.average_pool(truth, scale, scale, "valid", data_format="channels_last"), answer)

    return coarse


def _scale(output: str) -> int:
    """How many voxels along each axis one voxel of a segmentation output stands for."""
    name, _, scale = output.partition("_")
    if name != "segmentation" or not (scale or "1").isdigit():
        raise ValueError(f"outputs: expected segmentation, segmentation_N, grade or survival, got {output}")
    return int(scale or 1)
