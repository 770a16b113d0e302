"""Fits a model's quality estimator on uncorrupted and on corrupted cases that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from glioseg.core.brain import brain_mask_of_channels
from glioseg.core.dice import dice_per_channel
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.progress import track
from glioseg.models.inference.calibration import apply_temperature
from glioseg.models.inference.forward import run_networks
from glioseg.models.inference.missing_modalities import missing_modalities, not_judged
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.out_of_distribution import (
    FeatureTable,
    compute_features,
    fit_out_of_distribution,
)
from glioseg.models.inference.postprocess import labels_and_expected_dice
from glioseg.models.inference.quality_estimation import ExpectedDice, QualityEstimator, fit_dice_regression
from glioseg.models.inference.uncertainty import (
    CERTAIN_FROM,
    POSSIBLE_FROM,
    volume_error,
    volume_uncertainty,
)
from glioseg.models.selection.corruptions import KINDS, Scan, corrupt
from glioseg.models.selection.unseen_case import UnseenCase

if TYPE_CHECKING:
    import keras

    from glioseg.data.store.cropped_cases import CroppedCase

    Models = Sequence["keras.Model"]

MAX_CASES = 64
"""Maximum number of training cases for features, and of validation cases that are used uncorrupted."""
COPIES_PER_KIND = 3
"""Corrupted copies of each kind, of all validation cases together."""
SEED = 9
Item = TypeVar("Item")


@dataclass(frozen=True)
class Copy:
    """A corrupted copy to make: number of the case, kind of the corruption, seed of its random choices."""

    case: int
    kind: str
    seed: tuple[int, ...]


@dataclass(frozen=True)
class ScoredScan:
    """The prediction for an uncorrupted or corrupted scan, compared with its truth.

    `case`: number of the case; `corruption`: kind, None for an uncorrupted scan; `expected`: the implied
    Dice; `dice`, `volume_errors`: the true Dice and the `volume_error` of each region, NaN where a region
    cannot be judged.
    """

    case: int
    corruption: str | None
    expected: ExpectedDice
    dice: Float64[NDArray, "3"]
    volume_errors: Float64[NDArray, "3"]


def fit_quality_estimator(
    cases: Sequence[UnseenCase],
    settings: Settings,
    *,
    training_cases: "Sequence[CroppedCase]",
) -> QualityEstimator:
    """Fit the quality estimator of a network, or of an ensemble.

    All uncorrupted scans together have the same weight as all corrupted scans. Predictions are made without
    test-time mirroring, which would take eight times as long.

    Args:
        cases: labelled cases, each with the networks that were not trained on it.
        settings: settings with all other results of calibration.
        training_cases: the cases that the networks were trained on.
    """
    sound = take_evenly(cases, MAX_CASES)
    out_of_distribution = fit_out_of_distribution(
        _features_of(take_evenly(training_cases, MAX_CASES), settings.spacing_mm),
        _features_of([unseen.case for unseen in sound], settings.spacing_mm),
        modality_dropout=settings.modality_dropout,
    )
    rng = np.random.default_rng(SEED)
    kinds = [kind for kind in KINDS for _ in range(COPIES_PER_KIND)]
    copies = [Copy(int(rng.integers(len(sound))), kind, (place,)) for place, kind in enumerate(kinds)]
    scored = score_scans(sound, copies, replace(settings, mirror=False))
    estimator = fit_estimator(scored, sound_weight=len(copies) / len(sound))
    return replace(estimator, out_of_distribution=out_of_distribution)


def fit_estimator(scored: Sequence[ScoredScan], *, sound_weight: float = 1.0) -> QualityEstimator:
    """The quality estimator of scored scans, without the detection of scans unlike the training data.

    Args:
        scored: as from `score_scans`.
        sound_weight: weight of an uncorrupted scan, where a corrupted one has 1.
    """
    return fit_dice_regression(
        [scan.expected for scan in scored],
        np.stack([scan.dice for scan in scored]),
        np.array([sound_weight if scan.corruption is None else 1.0 for scan in scored]),
        np.array([scan.case for scan in scored]),
    )


def score_scans(cases: Sequence[UnseenCase], copies: Sequence[Copy], settings: Settings) -> list[ScoredScan]:
    """Predict every case as it is, and then its corrupted copies, at the spacing of the network.

    Args:
        cases: labelled cases, each with the networks that were not trained on it; one is in memory at a time.
        copies: the copies of all cases.
        settings: settings with the results of the other parts of calibration.
    """
    scored = []
    for number, unseen in enumerate(track(cases, title="corrupt and predict", total=len(cases))):
        scan, models = _read(unseen.case, settings.spacing_mm), unseen.models
        scored.append(_score(models, scan, settings, case=number))
        for copy in copies:
            if copy.case == number:
                rng = np.random.default_rng([SEED, *copy.seed])
                corrupted = corrupt(*scan, kind=copy.kind, spacing_mm=settings.spacing_mm, rng=rng)
                scored.append(_score(models, corrupted, settings, case=number, corruption=copy.kind))
    return scored


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


def _read(case: "CroppedCase", spacing_mm: int) -> Scan:
    image, label = (array[:] for array in case.open(spacing_mm))
    return image.astype(np.float32), label


def _score(
    models: "Models", scan: Scan, settings: Settings, *, case: int, corruption: str | None = None
) -> ScoredScan:
    image, label = scan
    output = run_networks(models, image, settings)
    labels, expected = labels_and_expected_dice(image, output, settings)
    truth, predicted = regions_from_labels(label), regions_from_labels(labels)
    dice = dice_per_channel(truth, predicted)
    brain, voxel_ml = brain_mask_of_channels(image), settings.spacing_mm**3 / 1000
    probabilities = apply_temperature(output.regions[brain], settings.temperature)
    certain, possible = ((probabilities >= p).sum(axis=0) * voxel_ml for p in (CERTAIN_FROM, POSSIBLE_FROM))
    in_ml = [mask.sum(axis=(0, 1, 2)) * voxel_ml for mask in (truth, predicted)]
    uncertainties = map(volume_uncertainty, certain.tolist(), possible.tolist())
    errors = np.array([*map(volume_error, in_ml[0].tolist(), in_ml[1].tolist(), uncertainties)])
    missing = missing_modalities(image)
    unjudged = np.isin(list(REGIONS), list(not_judged(missing)))
    dice, errors = (np.where(unjudged, np.nan, values) for values in (dice, errors))
    return ScoredScan(case, corruption, expected, dice, errors)
