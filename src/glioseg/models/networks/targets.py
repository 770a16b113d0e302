"""What the network should answer: the truth of a batch under the names of the network's outputs."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import LABEL_NAMES, Label, regions_from_labels
from glioseg.core.settings_file import ParamsError
from glioseg.data.store.cropped_store import CroppedCase
from glioseg.params.sections import Output, Target

DAYS_PER_YEAR = 365.25
OUTCOMES = ("grade", "survival")
"""What a network can predict of a whole case."""

LGG = {"HGG": 0.0, "LGG": 1.0}
"""The seed's numbers of the two grades."""


def channels_from_labels(labels: UInt8[NDArray, "*grid"], target: Target) -> Bool[NDArray, "*grid 3"]:
    """The network's three channels: nested regions WT, TC, ET, or exclusive labels NCR, ED, ET.

    >>> channels_from_labels(np.array([0, 1, 2, 3], np.uint8), "labels").astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    if target == "regions":
        return regions_from_labels(labels)
    return np.stack([labels == Label[name] for name in LABEL_NAMES], axis=-1)


def outcomes(cases: Sequence[CroppedCase], output: str) -> Float32[NDArray, "b 1"]:
    """Grade (1 for LGG) or survival (years) of each case; NaN where it is not known."""
    if output == "grade":
        known = [LGG.get(case.grade or "", np.nan) for case in cases]
    else:
        days = [np.nan if case.survival_days is None else case.survival_days for case in cases]
        known = [value / DAYS_PER_YEAR for value in days]
    return np.array(known, np.float32)[:, np.newaxis]


def targets(
    labels: UInt8[NDArray, "b d h w"], cases: Sequence[CroppedCase], *, outputs: Iterable[str], target: Target
) -> dict[str, Shaped[NDArray, "b ..."]]:
    """The truth of a batch for each of the network's outputs; every scale gets the full grid.

    Args:
        labels: dense labels of the patches.
        cases: the case of each patch.
        outputs: names of the network's outputs.
        target: what the segmentation's channels stand for.
    """
    # TensorFlow cannot gather booleans from several devices.
    channels = channels_from_labels(labels, target).view(np.uint8)
    truth: dict[str, Shaped[NDArray, "b ..."]] = {}
    for name in outputs:
        truth[name] = outcomes(cases, name) if name in OUTCOMES else channels
    return truth


def require_outcomes(cases: Sequence[CroppedCase], outputs: Iterable[Output]) -> None:
    """Raise ParamsError where an outcome is to be learned of which no case tells anything."""
    for output in outputs:
        if output != "segmentation" and np.isnan(outcomes(cases, output)).all():
            raise ParamsError(
                f"train.outputs: {output} needs training cases whose {output} is known,"
                f" got none among {len(cases)}"
            )
