"""What spoilt scans show of a network: when its answers can be trusted, and when not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import regions_from_labels
from glioseg.models.inference.forward import examine
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.out_of_distribution import Portraits, learn_likeness, portrait
from glioseg.models.inference.postprocess import belief_of
from glioseg.models.inference.quality_estimation import Belief, Confidence, fit_lines
from glioseg.models.selection.corruptions import KINDS, shifted

if TYPE_CHECKING:
    import keras

    from glioseg.data.store.cropped_store import CroppedCase

    Models = Sequence["keras.Model"]

MOST_CASES = 64
"""Training cases whose portraits are taken, and validation cases that are looked at as they are."""
SPOILT = 42
"""Spoilt copies that are looked at, of all cases together: as many of each kind."""
SEED = 9
Item = TypeVar("Item")


def learn_confidence(
    models: "Models", cases: "Sequence[CroppedCase]", settings: Settings, *, learned: "Sequence[CroppedCase]"
) -> Confidence:
    """Learn when to trust the answers of a network, or of an ensemble.

    Sound scans count as much as spoilt ones, all together. Every answer is a straight look, since mirror
    images would take eight times as long.

    Args:
        models: the network, or the members of the ensemble.
        cases: cases that none of them has seen in training.
        settings: with all else that validation decides.
        learned: cases that the networks have learned from.
    """
    known = evenly(cases, MOST_CASES)
    likeness = learn_likeness(
        _portraits(evenly(learned, MOST_CASES), settings.spacing_mm),
        _portraits(known, settings.spacing_mm),
        modality_dropout=settings.modality_dropout,
    )
    straight = replace(settings, mirror=False)
    shown = [_show(models, *scan, straight) for scan in _scans(known, settings.spacing_mm)]
    beliefs, dice = zip(*shown, strict=True)
    found, empty = fit_lines(
        np.stack([belief.dice for belief in beliefs]),
        np.stack([belief.empty for belief in beliefs]),
        np.stack(dice),
        np.array([SPOILT / len(known)] * len(known) + [1.0] * SPOILT),
    )
    return Confidence(found, empty, likeness)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, from the first to the last.

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]


def _portraits(cases: "Sequence[CroppedCase]", spacing_mm: int) -> Portraits:
    taken = [portrait(_read(case, spacing_mm)[0], spacing_mm=spacing_mm) for case in cases]
    return np.array(taken, np.float64)


def _scans(
    cases: "Sequence[CroppedCase]", spacing_mm: int
) -> Iterator[tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]]:
    """Every case as it is, then the spoilt copies of cases drawn at random."""
    for case in cases:
        yield _read(case, spacing_mm)
    kinds = list(KINDS)
    for number in range(SPOILT):
        rng = np.random.default_rng([SEED, number])
        case = cases[int(rng.integers(len(cases)))]
        kind = kinds[number % len(kinds)]
        yield shifted(*_read(case, spacing_mm), kind=kind, spacing_mm=spacing_mm, rng=rng)


def _read(
    case: "CroppedCase", spacing_mm: int
) -> tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
    image, label = (array[:] for array in case.open(spacing_mm))
    return image.astype(np.float32), label


def _show(
    models: "Models",
    image: Float32[NDArray, "d h w 4"],
    label: UInt8[NDArray, "d h w"],
    settings: Settings,
) -> tuple[Belief, Float64[NDArray, "3"]]:
    """What networks believe of their answer to one scan, and the true Dice of WT, TC and ET."""
    from glioseg.models.training.validation import (
        hard_dice,  # Keras is loaded already where there is a network
    )

    belief, labels = belief_of(image, examine(models, image, settings).regions, settings)
    return belief, hard_dice(regions_from_labels(label), regions_from_labels(labels))
