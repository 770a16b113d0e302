"""Losses of what is one number a case, and often unknown, in `keras.ops` alone.

Each takes truth, NaN where it is unknown, and the answer, both (batch, 1) or (batch,). An unknown case
costs 0 and has no gradient. The mean is over all cases, known or not: a known case then weighs the same
whichever cases it shares a batch with, and a batch may be spread over devices.
"""

from keras import KerasTensor, ops


def grade_loss(truth: KerasTensor, probability: KerasTensor) -> KerasTensor:
    """Binary cross-entropy.

    Args:
        truth: 1 for a low-grade glioma, 0 for a high-grade one, NaN for unknown.
        probability: of a low-grade glioma.
    """
    known, safe, probability = _by_case(truth, probability)
    return ops.mean(ops.where(known, ops.binary_crossentropy(safe, probability), 0.0))


def survival_loss(truth: KerasTensor, years: KerasTensor) -> KerasTensor:
    """Squared error, in years².

    Args:
        truth: survival in years, NaN for unknown.
        years: the answer.
    """
    known, safe, years = _by_case(truth, years)
    return ops.mean(ops.where(known, ops.square(years - safe), 0.0))


def _by_case(truth: KerasTensor, answer: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """What is known, the truth with 0 for what is not, and the answer; each (batch,)."""
    truth, answer = (ops.reshape(ops.cast(x, "float32"), (-1,)) for x in (truth, answer))
    known = ops.logical_not(ops.isnan(truth))
    # A NaN that only the result hides would still reach the gradient, as NaN × 0.
    return known, ops.where(known, truth, 0.0), answer
