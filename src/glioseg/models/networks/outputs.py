"""The meaning of a network's outputs: training targets from labels, region probabilities from channels."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import LABEL_NAMES, Label, regions_from_labels
from glioseg.params.sections import Output, Target
from glioseg.params.settings_file import ParamsError

if TYPE_CHECKING:
    from glioseg.data.store.cropped_cases import CroppedCase  # it imports blosc2, which serving lacks

DAYS_PER_YEAR = 365.25
OUTCOMES = ("grade", "survival")
"""Outputs that are one number for a whole case."""

GRADE_VALUES = {"HGG": 0.0, "LGG": 1.0}
"""Training target of each grade, as in the seed."""
PROBABILITY_FLOOR = 1e-7
"""Probabilities are clipped to this distance from 0 and 1, so that their odds are finite."""


def target_channels(labels: UInt8[NDArray, "*grid"], target: Target) -> Bool[NDArray, "*grid 3"]:
    """Labels as the network's three channels: nested regions WT, TC, ET, or exclusive labels NCR, ED, ET.

    >>> target_channels(np.array([0, 1, 2, 3], np.uint8), "labels").astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    if target == "regions":
        return regions_from_labels(labels)
    return np.stack([labels == Label[name] for name in LABEL_NAMES], axis=-1)


def outcome_targets(cases: "Sequence[CroppedCase]", output: str) -> Float32[NDArray, "b 1"]:
    """Grade (1 for LGG, 0 for HGG) or survival in years of each case; NaN where it is unknown."""
    if output == "grade":
        values = [GRADE_VALUES.get(case.grade or "", np.nan) for case in cases]
    else:
        days = [np.nan if case.survival_days is None else case.survival_days for case in cases]
        values = [day / DAYS_PER_YEAR for day in days]
    return np.array(values, np.float32)[:, np.newaxis]


def training_targets(
    labels: UInt8[NDArray, "b d h w"],
    cases: "Sequence[CroppedCase]",
    *,
    outputs: Iterable[str],
    target: Target,
) -> dict[str, Shaped[NDArray, "b ..."]]:
    """The targets of a batch by output; every scale of deep supervision gets the full-resolution target.

    Args:
        labels: dense labels of the patches.
        cases: the case of each patch.
        outputs: names of the network's outputs.
        target: meaning of the segmentation's channels, `network.target`.
    """
    # uint8, because TensorFlow cannot gather booleans from several devices.
    channels = target_channels(labels, target).view(np.uint8)
    truth: dict[str, Shaped[NDArray, "b ..."]] = {}
    for name in outputs:
        truth[name] = outcome_targets(cases, name) if name in OUTCOMES else channels
    return truth


def require_outcomes(cases: "Sequence[CroppedCase]", outputs: Iterable[Output]) -> None:
    """Raise ParamsError if `train.outputs` has an outcome that is unknown for every training case."""
    for output in outputs:
        if output != "segmentation" and np.isnan(outcome_targets(cases, output)).all():
            raise ParamsError(
                f"train.outputs: {output} needs training cases whose {output} is known,"
                f" got none among {len(cases)}"
            )


def region_probabilities(
    channels: Float32[NDArray, "d h w 3"], target: Target
) -> Float32[NDArray, "d h w 3"]:
    """Probabilities of WT, TC and ET from a network's channels, for either value of `network.target`.

    With target "labels", each channel (NCR, ED, ET) is a binary classifier of its label against background,
    and the three probabilities may sum to more than 1. The odds o = p / (1 − p) compare the label with
    background, so the four labels have the probabilities (1, o₁, o₂, o₃) / Σ: a softmax in which background
    has logit 0. The probability of a region is the sum over its labels, so regions are nested.

    Args:
        channels: sigmoid outputs.
        target: "regions" (WT, TC, ET: returned unchanged) or "labels" (NCR, ED, ET).

    >>> halves = np.full((1, 1, 1, 3), 0.5, np.float32)  # odds 1, 1, 1: each label has 1/4
    >>> region_probabilities(halves, "labels").ravel().tolist()
    [0.75, 0.5, 0.25]
    """
    if target == "regions":
        return channels
    p = np.clip(channels, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    odds = p / (1 - p)
    ncr, ed, et = np.moveaxis(odds / (1 + odds.sum(axis=-1, keepdims=True)), -1, 0)
    return np.stack([ncr + ed + et, ncr + et, et], axis=-1)


def label_probabilities(regions: Float32[NDArray, "*grid 3"]) -> Float32[NDArray, "*grid 4"]:
    """Probabilities of background, NCR, ED and ET from those of the nested regions.

    If an inner region is more probable than the enclosing region, its probability is lowered to that one.

    >>> label_probabilities(np.array([0.75, 0.5, 0.25], np.float32)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    wt, tc, et = np.moveaxis(np.minimum.accumulate(regions, axis=-1), -1, 0)
    return np.stack([1 - wt, tc - et, wt - tc, et], axis=-1)
