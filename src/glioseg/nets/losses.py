"""Losses over nested regions, in `keras.ops` alone."""

from collections.abc import Callable

from keras import KerasTensor, ops

SMOOTH_VOX = 1.0
"""Voxels added above and below the fraction: an empty region then scores 1 for an empty answer."""

Loss = Callable[[KerasTensor, KerasTensor], KerasTensor]


def soft_dice(
    truth: KerasTensor, probabilities: KerasTensor, *, smooth_vox: float = SMOOTH_VOX
) -> KerasTensor:
    """Soft Dice of each region, over all voxels of the batch at once.

    (2 Σ p·g + s) / (Σ p + Σ g + s): Milletari et al. 2016 (V-Net) with plain sums below, as in
    Drozdzal et al. 2016. Summing over the batch keeps the gradient useful where one case lacks a
    region; where the whole batch lacks it, s lets the score rise towards 1 as the answer empties.

    Args:
        truth: (batch, D, H, W, regions), 0 or 1.
        probabilities: the same shape, 0 to 1.
        smooth_vox: s above.

    Returns:
        (regions,) float32, 0 to 1.
    """
    truth, probabilities = ops.cast(truth, "float32"), ops.cast(probabilities, "float32")
    voxels = tuple(range(len(probabilities.shape) - 1))
    overlap = ops.sum(truth * probabilities, axis=voxels)
    size = ops.sum(truth, axis=voxels) + ops.sum(probabilities, axis=voxels)
    return (2 * overlap + smooth_vox) / (size + smooth_vox)


def region_loss(*, cross_entropy_weight: float) -> Loss:
    """Soft Dice loss, averaged over the regions, plus weighted binary cross-entropy.

    Args:
        cross_entropy_weight: weight of the cross-entropy, averaged over voxels and regions; the
            Dice loss has weight 1.

    Returns:
        A loss of (truth, probabilities), both (batch, D, H, W, regions).
    """

    def loss(truth: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
        dice = 1 - ops.mean(soft_dice(truth, probabilities))
        entropy = ops.mean(ops.binary_crossentropy(ops.cast(truth, "float32"), probabilities))
        return dice + cross_entropy_weight * entropy

    return loss
