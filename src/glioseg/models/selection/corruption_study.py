"""Fits a model's quality estimator on uncorrupted and on corrupted validation cases."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.typing import NDArray

from glioseg.core.dice import dice_per_channel
from glioseg.core.labels import regions_from_labels
from glioseg.models.inference.forward import run_networks
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.out_of_distribution import (
    FeatureTable,
    compute_features,
    fit_out_of_distribution,
)
from glioseg.models.inference.postprocess import labels_and_expected_dice
from glioseg.models.inference.quality_estimation import ExpectedDice, QualityEstimator, fit_dice_regression
from glioseg.models.selection.corruptions import KINDS, corrupt

if TYPE_CHECKING:
    import keras

    from glioseg.data.store.cropped_cases import CroppedCase

    Models = Sequence["keras.Model"]

MAX_CASES = 64
"""Maximum number of training cases for features, and of validation cases that are used uncorrupted."""
CORRUPTED_COPIES = 42
"""Corrupted copies of all validation cases together, the same number of each kind."""
SEED = 9
Item = TypeVar("Item")


def fit_quality_estimator(
    models: "Models",
    cases: "Sequence[CroppedCase]",
    settings: Settings,
    *,
    training_cases: "Sequence[CroppedCase]",
) -> QualityEstimator:
    """Fit the quality estimator of a network, or of an ensemble.

    All uncorrupted scans together have the same weight as all corrupted scans. Predictions are made without
    test-time mirroring, which would take eight times as long.

    Args:
        models: the network, or the members of the ensemble.
        cases: validation cases, which no network was trained on.
        settings: settings with all other results of calibration.
        training_cases: the cases that the networks were trained on.
    """
    sound = take_evenly(cases, MAX_CASES)
    out_of_distribution = fit_out_of_distribution(
        _features_of(take_evenly(training_cases, MAX_CASES), settings.spacing_mm),
        _features_of(sound, settings.spacing_mm),
        modality_dropout=settings.modality_dropout,
    )
    unmirrored = replace(settings, mirror=False)
    pairs = [
        _expected_and_true_dice(models, *scan, unmirrored) for scan in _scans(sound, settings.spacing_mm)
    ]
    expected, dice = zip(*pairs, strict=True)
    found, empty = fit_dice_regression(
        np.stack([each.dice for each in expected]),
        np.stack([each.empty for each in expected]),
        np.stack(dice),
        np.array([CORRUPTED_COPIES / len(sound)] * len(sound) + [1.0] * CORRUPTED_COPIES),
    )
    return QualityEstimator(found, empty, out_of_distribution)


def take_evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most this many items, evenly spaced from the first to the last.

    >>> take_evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]


def _features_of(cases: "Sequence[CroppedCase]", spacing_mm: int) -> FeatureTable:
    rows = [compute_features(_read(case, spacing_mm)[0], spacing_mm=spacing_mm) for case in cases]
    return np.array(rows, np.float64)


def _scans(
    cases: "Sequence[CroppedCase]", spacing_mm: int
) -> Iterator[tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]]:
    """Every case uncorrupted, then corrupted copies of randomly chosen cases."""
    for case in cases:
        yield _read(case, spacing_mm)
    kinds = list(KINDS)
    for number in range(CORRUPTED_COPIES):
        rng = np.random.default_rng([SEED, number])
        case = cases[int(rng.integers(len(cases)))]
        kind = kinds[number % len(kinds)]
        yield corrupt(*_read(case, spacing_mm), kind=kind, spacing_mm=spacing_mm, rng=rng)


def _read(
    case: "CroppedCase", spacing_mm: int
) -> tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
    image, label = (array[:] for array in case.open(spacing_mm))
    return image.astype(np.float32), label


def _expected_and_true_dice(
    models: "Models",
    image: Float32[NDArray, "d h w 4"],
    label: UInt8[NDArray, "d h w"],
    settings: Settings,
) -> tuple[ExpectedDice, Float64[NDArray, "3"]]:
    """The expected and the true Dice of WT, TC and ET, of the prediction for one scan."""
    output = run_networks(models, image, settings)
    labels, expected = labels_and_expected_dice(image, output.regions, settings)
    return expected, dice_per_channel(regions_from_labels(label), regions_from_labels(labels))
