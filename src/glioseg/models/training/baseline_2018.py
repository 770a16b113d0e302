"""The loss and the two Dice metrics of the seed, the 2018 system that this project grew from.

All take truth, 0 or 1, and probabilities, both (batch, D, H, W, channels), and return one number.
"""

from keras import KerasTensor, ops

from glioseg.models.training.region_losses import soft_dice

SMOOTH_VOX, WEIGHTED_SMOOTH_VOX = 1.0, 1e-5
"""Voxels added above and below the fractions of `seed_dice` and of `seed_weighted_dice`."""


def seed_dice(truth: KerasTensor, probabilities: KerasTensor, *, batch: bool = True) -> KerasTensor:
    """Soft Dice over all channels and voxels at once, so that large regions count most.

    Args:
        truth: as above.
        probabilities: as above.
        batch: over all cases at once as well, as the seed had it; False: averaged over the cases.
    """
    truth, probabilities = (_one_channel(x) for x in (truth, probabilities))
    return ops.mean(soft_dice(truth, probabilities, batch=batch, smooth_vox=SMOOTH_VOX))


def seed_weighted_dice(truth: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
    """Soft Dice of each case and channel, averaged, so that every region counts the same."""
    return ops.mean(soft_dice(truth, probabilities, batch=False, smooth_vox=WEIGHTED_SMOOTH_VOX))


def seed_loss(truth: KerasTensor, probabilities: KerasTensor, *, batch: bool) -> KerasTensor:
    """1 - `seed_dice`."""
    return 1 - seed_dice(truth, probabilities, batch=batch)


def _one_channel(x: KerasTensor) -> KerasTensor:
    """(batch, voxels of all channels, 1)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, 1))
