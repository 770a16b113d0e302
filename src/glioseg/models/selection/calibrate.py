"""Calibration on unseen cases: passes, post-processing, temperatures, intervals, quality estimator."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

from glioseg.core.dice import dice_per_channel
from glioseg.core.geometry import bounding_box
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.calibration import (
    Counts,
    calibration_error_of_counts,
    count_logits,
    fit_temperature,
    voxels_at_or_above,
)
from glioseg.models.inference.forward import one_pass_fits, run_networks
from glioseg.models.inference.model_settings import CaseKind, Regions3, Settings, VolumeIntervals
from glioseg.models.inference.postprocess import drop_small_components, drop_small_et, threshold_regions
from glioseg.models.inference.predictor import probabilities_at_1_mm
from glioseg.models.inference.uncertainty import (
    CERTAIN_FROM,
    POSSIBLE_FROM,
    fit_volume_intervals,
    supported_level,
    volume_error,
    volume_uncertainty,
)
from glioseg.models.selection.corruption_study import fit_quality_estimator
from glioseg.models.selection.unseen_case import UnseenCase

if TYPE_CHECKING:
    from glioseg.data.store.cropped_cases import CroppedCase
    from glioseg.params.sections import Inference

MAX_ONE_PASS_LOSS = 0.005
"""Maximum loss of mean Dice by one pass, which is several times as fast as sliding windows."""
VOXEL_ML = 0.001
"""Volume of a voxel of the 1 mm grid, on which predictions are scored."""


@dataclass(frozen=True)
class _CaseScores:
    """Scores of one case at 1 mm, so that the probabilities of no case stay in memory.

    `counts`: see `count_logits`; `dice`, `voxels`: of the post-processed prediction, for each choice of the
    threshold, of `min_component_ml`, of `min_et_ml`, and each region; `truth`: true voxels of each region.
    """

    counts: Counts
    dice: Float64[NDArray, "thresholds components ets 3"]
    voxels: Float64[NDArray, "thresholds components ets 3"]
    truth: Float64[NDArray, "3"]


def calibrate_model(
    cases: Sequence[UnseenCase],
    settings: Settings,
    *,
    inference: "Inference",
    training_cases: "Sequence[CroppedCase]",
    calibrated_on: CaseKind,
) -> Settings:
    """The settings that cases which the networks have not seen choose.

    Instance norm of a network that was trained on patches has other means and deviations in a whole crop, so
    crops are run in one pass only if Dice decreases by no more than `MAX_ONE_PASS_LOSS`. The threshold and
    the minimum sizes are those with the best mean Dice over cases and regions (`choose_postprocessing`). The
    temperature of each region, the volume intervals and the quality estimator are fitted afterwards.
    Predictions are scored at 1 mm; only the quality estimator works at the network's spacing. All settings
    are chosen for the mean of a case's networks, as in prediction.

    Args:
        cases: labelled cases, each with the networks that were not trained on it; readable at 1 mm and at the
            network's spacing.
        settings: `Settings.untuned`.
        inference: the values to choose from.
        training_cases: the cases that the networks were trained on.
        calibrated_on: whether `cases` are real or synthetic.
    """
    settings = replace(settings, one_pass=_one_pass_is_good_enough(cases, settings))
    scored = [_score_case(case, settings, inference) for case in cases]
    threshold, component, et = _best_postprocessing(scored, inference)
    counts = _total_counts(scored)
    temperature = _temperatures(counts)
    calibrated = replace(
        settings,
        threshold=inference.threshold[threshold],
        min_component_ml=inference.min_component_ml[component],
        min_et_ml=inference.min_et_ml[et],
        temperature=temperature,
        volume_intervals=_volume_intervals(scored, inference),
        calibration_error_before=_of_regions(calibration_error_of_counts(region, 1.0) for region in counts),
        calibration_error_after=_of_regions(map(calibration_error_of_counts, counts, temperature)),
        calibrated_on=calibrated_on,
    )
    estimator = fit_quality_estimator(cases, calibrated, training_cases=training_cases)
    return replace(calibrated, confidence=estimator)


def choose_postprocessing(
    dice: Float64[NDArray, "thresholds components ets"],
    *,
    thresholds: Sequence[float],
    components: Sequence[float],
    ets: Sequence[float],
) -> tuple[float, float, float]:
    """The threshold, `min_component_ml` and `min_et_ml` with the best Dice.

    Ties are resolved by the larger `min_et_ml`, since small components that improve no case are probably
    false; then by the smaller `min_component_ml`, which removes less; then by the threshold nearest to 0.5.

    Args:
        dice: mean over cases and regions, for each choice of the three.
        thresholds: the choices of the threshold.
        components: the choices of `min_component_ml`.
        ets: the choices of `min_et_ml`.

    >>> choose_postprocessing(
    ...     np.full((2, 2, 2), 0.5), thresholds=(0.3, 0.5), components=(0.0, 0.1), ets=(0.0, 0.2)
    ... )
    (0.5, 0.0, 0.2)
    """
    tied = [
        choice
        for choice, mean in zip(product(thresholds, components, ets), dice.ravel(), strict=True)
        if mean == dice.max()
    ]
    return max(tied, key=lambda choice: (choice[2], -choice[1], -abs(choice[0] - 0.5)))


def _best_postprocessing(scored: Sequence[_CaseScores], inference: "Inference") -> tuple[int, int, int]:
    """The best threshold, `min_component_ml` and `min_et_ml` for these cases, as indices of the choices."""
    thresholds, components, ets = inference.threshold, inference.min_component_ml, inference.min_et_ml
    dice = np.mean([case.dice for case in scored], axis=(0, 4))
    threshold, component, et = choose_postprocessing(
        dice, thresholds=thresholds, components=components, ets=ets
    )
    return thresholds.index(threshold), components.index(component), ets.index(et)


def _total_counts(scored: Sequence[_CaseScores]) -> Counts:
    total: Counts = np.sum([case.counts for case in scored], axis=0)
    return total


def _temperatures(counts: Counts) -> Regions3:
    return _of_regions(fit_temperature(region) for region in counts)


def _volume_intervals(scored: Sequence[_CaseScores], inference: "Inference") -> VolumeIntervals | None:
    """Conformal intervals, from the error of each case with the settings chosen on the other cases.

    A case on which the threshold, the sizes and the temperatures were chosen would have a smaller error than
    a new case. The result is None if there are too few cases.
    """
    if supported_level(len(scored)) is None:
        return None
    total = _total_counts(scored)
    errors = [
        _volume_errors(
            case, _best_postprocessing([*scored[:i], *scored[i + 1 :]], inference), total - case.counts
        )
        for i, case in enumerate(scored)
    ]
    return fit_volume_intervals(np.array(errors), cases=len(scored))


def _volume_errors(case: _CaseScores, chosen: tuple[int, int, int], counts: Counts) -> list[float]:
    """The `volume_error` of each region of a case.

    Args:
        case: the case.
        chosen: indices of the post-processing, as from `_best_postprocessing`.
        counts: counts of the cases on which the temperatures are fitted.
    """
    temperature, predicted_ml = _temperatures(counts), case.voxels[chosen] * VOXEL_ML
    errors = []
    for r in range(len(REGIONS)):
        certain, possible = (
            voxels_at_or_above(case.counts[r], p, temperature[r]) for p in (CERTAIN_FROM, POSSIBLE_FROM)
        )
        uncertainty = volume_uncertainty(certain * VOXEL_ML, possible * VOXEL_ML)
        truth_ml = float(case.truth[r]) * VOXEL_ML
        errors.append(volume_error(truth_ml, float(predicted_ml[r]), uncertainty))
    return errors


def _one_pass_is_good_enough(cases: Sequence[UnseenCase], settings: Settings) -> bool:
    """Whether one pass has about the Dice of windows, on crops that fit in memory and exceed a window."""
    one_pass = replace(settings, one_pass=True, mirror=False)
    windows = replace(one_pass, one_pass=False)
    losses = [
        mean_dice(unseen, windows) - mean_dice(unseen, one_pass)
        for unseen in cases
        if _both_passes_possible(unseen, settings)
    ]
    return not losses or float(np.mean(losses)) <= MAX_ONE_PASS_LOSS


def _both_passes_possible(unseen: UnseenCase, settings: Settings) -> bool:
    d, h, w = crop = unseen.case.open(settings.spacing_mm)[1].shape
    larger = any(n > edge for n, edge in zip(crop, settings.window_shape, strict=True))
    return larger and one_pass_fits((d, h, w), settings, len(unseen.models))


def mean_dice(unseen: UnseenCase, settings: Settings) -> float:
    """Mean Dice of the regions of a case at the network's spacing, at a threshold of 0.5."""
    image, label = (array[:] for array in unseen.case.open(settings.spacing_mm))
    regions = run_networks(unseen.models, image.astype(np.float32), settings).regions >= 0.5
    inside = regions & image.any(axis=-1, keepdims=True)
    return float(dice_per_channel(regions_from_labels(label), inside).mean())


def _score_case(unseen: UnseenCase, settings: Settings, inference: "Inference") -> _CaseScores:
    image = unseen.case.open(settings.spacing_mm)[0][:].astype(np.float32)
    fine, label = (array[:] for array in unseen.case.open(1))
    brain, truth = fine.any(axis=-1), regions_from_labels(label)
    output = run_networks(unseen.models, image, settings)
    regions = probabilities_at_1_mm(output.regions, brain, spacing_mm=settings.spacing_mm)
    dice, voxels = _try_postprocessing(regions, truth, inference)
    counts = count_logits(regions[brain], truth[brain])
    return _CaseScores(counts, dice, voxels, truth.sum(axis=(0, 1, 2)))


def _try_postprocessing(
    regions: Float32[NDArray, "d h w 3"], truth: Bool[NDArray, "d h w 3"], inference: "Inference"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and voxels of each region for every threshold and pair of sizes."""
    choices = (inference.threshold, inference.min_component_ml, inference.min_et_ml)
    dice, voxels = (np.zeros((*map(len, choices), 3)) for _ in range(2))
    regions, truth = _crop_to_tumour(regions, truth, min(inference.threshold))
    for t, threshold in enumerate(inference.threshold):
        labels = threshold_regions(regions, threshold)
        for c, component in enumerate(inference.min_component_ml):
            large = drop_small_components(labels, min_component_ml=component, voxel_ml=VOXEL_ML)
            for e, et in enumerate(inference.min_et_ml):
                predicted = regions_from_labels(drop_small_et(large, min_et_ml=et, voxel_ml=VOXEL_ML))
                dice[t, c, e] = dice_per_channel(truth, predicted)
                voxels[t, c, e] = predicted.sum(axis=(0, 1, 2))
    return dice, voxels


def _crop_to_tumour(
    regions: Float32[NDArray, "d h w 3"], truth: Bool[NDArray, "d h w 3"], threshold: float
) -> tuple[Float32[NDArray, "e i x 3"], Bool[NDArray, "e i x 3"]]:
    """The box of both arrays that contains all tumour, true or predicted at this threshold or higher."""
    tumour = ((regions >= threshold) | truth).any(axis=-1)
    box = bounding_box(tumour).slices if tumour.any() else np.s_[:1, :1, :1]
    return regions[box], truth[box]


def _of_regions(values: Iterable[float]) -> Regions3:
    wt, tc, et = values
    return (wt, tc, et)
