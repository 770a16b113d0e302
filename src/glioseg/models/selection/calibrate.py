"""What validation cases decide about a trained model: passes, post-processing, calibration, doubt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

from glioseg.core.geometry import bounding_box
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.models.inference.calibration import (
    Counts,
    calibration_error,
    count_logits,
    fit_temperature,
    voxels_from,
)
from glioseg.models.inference.conformal import conformal_quantile, supported_level
from glioseg.models.inference.forward import examine, one_pass_fits
from glioseg.models.inference.model_settings import Regions3, Settings, VolumeIntervals
from glioseg.models.inference.postprocess import choose, decide, drop_small_components, drop_small_et
from glioseg.models.inference.predictor import at_1_mm
from glioseg.models.inference.uncertainty import POSSIBLE, SURE, doubt, interval_score
from glioseg.models.selection.corruption_study import learn_confidence

if TYPE_CHECKING:
    import keras

    from glioseg.data.store.cropped_store import CroppedCase
    from glioseg.params.sections import Inference

    Models = Sequence["keras.Model"]

ONE_PASS_MAY_COST = 0.005
"""Mean Dice that one pass, several times as fast, may be worse than windows."""
VOXEL_ML = 0.001
"""Volume of a voxel of the 1 mm grid, on which answers are given."""


@dataclass(frozen=True)
class _Record:
    """What is kept of one case, so that no case's probabilities stay in memory; all of it at 1 mm.

    `counts`: see `count_logits`; `dice`, `voxels`: of the cleaned answer, for each choice of the threshold,
    of `min_component_ml`, of `min_et_ml`, and region; `truth`: the true voxels of each region.
    """

    counts: Counts
    dice: Float64[NDArray, "thresholds components ets 3"]
    voxels: Float64[NDArray, "thresholds components ets 3"]
    truth: Float64[NDArray, "3"]


def calibrate_model(
    models: "Models",
    cases: "Sequence[CroppedCase]",
    settings: Settings,
    *,
    inference: "Inference",
    learned: "Sequence[CroppedCase]",
) -> Settings:
    """Choose everything that validation decides.

    A network that learned from patches meets other means and deviations in a whole crop: crops are
    seen at once if that costs no more than `ONE_PASS_MAY_COST`. The threshold and the sizes that count are
    those with the best mean Dice over cases and regions (`postprocess.choose`); then come each region's
    temperature, the intervals of volumes, and when to trust an answer. Answers are judged at 1 mm, where
    they are given, but for the trust, which is learned at the network's spacing. All is chosen for the mean
    of the networks' probabilities, which is what answers.

    Args:
        models: the network, or the members of an ensemble.
        cases: cases that none of them has seen in training; readable at 1 mm and at the network's spacing.
        settings: `Settings.untuned`.
        inference: the choices.
        learned: the cases that the networks have seen in training.
    """
    settings = replace(settings, one_pass=_one_pass_will_do(models, cases, settings))
    records = [_record(models, case, settings, inference) for case in cases]
    threshold, component, et = _best(records, inference)
    counts = _total(records)
    temperature = _temperatures(counts)
    calibrated = replace(
        settings,
        threshold=inference.threshold[threshold],
        min_component_ml=inference.min_component_ml[component],
        min_et_ml=inference.min_et_ml[et],
        temperature=temperature,
        volume_intervals=_volume_intervals(records, inference),
        calibration_error_before=_regions(calibration_error(region, 1.0) for region in counts),
        calibration_error_after=_regions(map(calibration_error, counts, temperature)),
    )
    return replace(calibrated, confidence=learn_confidence(models, cases, calibrated, learned=learned))


def _best(records: Sequence[_Record], inference: "Inference") -> tuple[int, int, int]:
    """Which threshold, `min_component_ml` and `min_et_ml` do best on these cases, by their places."""
    thresholds, components, ets = inference.threshold, inference.min_component_ml, inference.min_et_ml
    dice = np.mean([record.dice for record in records], axis=(0, 4))
    threshold, component, et = choose(dice, thresholds=thresholds, components=components, ets=ets)
    return thresholds.index(threshold), components.index(component), ets.index(et)


def _total(records: Sequence[_Record]) -> Counts:
    total: Counts = np.sum([record.counts for record in records], axis=0)
    return total


def _temperatures(counts: Counts) -> Regions3:
    return _regions(fit_temperature(region) for region in counts)


def _volume_intervals(records: Sequence[_Record], inference: "Inference") -> VolumeIntervals | None:
    """Conformal intervals, from the score that each case has when the others alone choose all settings.

    A case that helped to choose the threshold, the sizes and the temperatures would be better off than a new
    one. None where the cases are too few.
    """
    level = supported_level(len(records))
    if level is None:
        return None
    total = _total(records)
    scores = [
        _scores(record, _best([*records[:i], *records[i + 1 :]], inference), total - record.counts)
        for i, record in enumerate(records)
    ]
    return VolumeIntervals(_regions(map(conformal_quantile, zip(*scores, strict=True))), level, len(records))


def _scores(record: _Record, chosen: tuple[int, int, int], counts: Counts) -> list[float]:
    """A case's conformity score of each region.

    Args:
        record: of the case.
        chosen: the settings of its answer, as from `_best`.
        counts: of the cases that choose the temperatures.
    """
    temperature, answer = _temperatures(counts), record.voxels[chosen] * VOXEL_ML
    scores = []
    for r in range(len(REGIONS)):
        sure, possible = (voxels_from(record.counts[r], p, temperature[r]) for p in (SURE, POSSIBLE))
        unsure = doubt(sure * VOXEL_ML, possible * VOXEL_ML)
        scores.append(interval_score(float(record.truth[r]) * VOXEL_ML, float(answer[r]), unsure))
    return scores


def _one_pass_will_do(models: "Models", cases: "Sequence[CroppedCase]", settings: Settings) -> bool:
    """Compare both ways where they differ: on crops that are larger than a window and fit in memory."""
    one_pass = replace(settings, one_pass=True, mirror=False)
    windows = replace(one_pass, one_pass=False)
    costs = [
        _dice(models, case, windows) - _dice(models, case, one_pass)
        for case in cases
        if _differs(case.open(settings.spacing_mm)[1].shape, settings, len(models))
    ]
    return not costs or float(np.mean(costs)) <= ONE_PASS_MAY_COST


def _differs(crop: tuple[int, ...], settings: Settings, networks: int) -> bool:
    d, h, w = crop
    larger = any(n > edge for n, edge in zip(crop, settings.window_shape, strict=True))
    return larger and one_pass_fits((d, h, w), settings, networks)


def _dice(models: "Models", case: "CroppedCase", settings: Settings) -> float:
    from glioseg.models.training.validation import (
        hard_dice,  # Keras is loaded already where there is a network
    )

    image, label = (array[:] for array in case.open(settings.spacing_mm))
    found = examine(models, image.astype(np.float32), settings).regions >= 0.5
    inside = found & image.any(axis=-1, keepdims=True)
    return float(hard_dice(regions_from_labels(label), inside).mean())


def _record(models: "Models", case: "CroppedCase", settings: Settings, inference: "Inference") -> _Record:
    image = case.open(settings.spacing_mm)[0][:].astype(np.float32)
    fine, label = (array[:] for array in case.open(1))
    brain, truth = fine.any(axis=-1), regions_from_labels(label)
    found = examine(models, image, settings).regions
    regions = at_1_mm(found, brain, spacing_mm=settings.spacing_mm)
    dice, voxels = _trials(regions, truth, inference)
    return _Record(count_logits(regions[brain], truth[brain]), dice, voxels, truth.sum(axis=(0, 1, 2)))


def _trials(
    regions: Float32[NDArray, "d h w 3"], truth: Bool[NDArray, "d h w 3"], inference: "Inference"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and voxels of each region for every threshold and pair of sizes."""
    from glioseg.models.training.validation import (
        hard_dice,  # Keras is loaded already where there is a network
    )

    choices = (inference.threshold, inference.min_component_ml, inference.min_et_ml)
    dice, voxels = (np.zeros((*map(len, choices), 3)) for _ in range(2))
    regions, truth = _around_tumour(regions, truth, min(inference.threshold))
    for t, threshold in enumerate(inference.threshold):
        labels = decide(regions, threshold)
        for c, component in enumerate(inference.min_component_ml):
            pieces = drop_small_components(labels, min_component_ml=component, voxel_ml=VOXEL_ML)
            for e, et in enumerate(inference.min_et_ml):
                answer = regions_from_labels(drop_small_et(pieces, min_et_ml=et, voxel_ml=VOXEL_ML))
                dice[t, c, e], voxels[t, c, e] = hard_dice(truth, answer), answer.sum(axis=(0, 1, 2))
    return dice, voxels


def _around_tumour(
    regions: Float32[NDArray, "d h w 3"], truth: Bool[NDArray, "d h w 3"], threshold: float
) -> tuple[Float32[NDArray, "e i x 3"], Bool[NDArray, "e i x 3"]]:
    """The part of both that may be tumour: outside it no threshold from this one on finds any."""
    tumour = ((regions >= threshold) | truth).any(axis=-1)
    box = bounding_box(tumour).slices if tumour.any() else np.s_[:1, :1, :1]
    return regions[box], truth[box]


def _regions(values: Iterable[float]) -> Regions3:
    wt, tc, et = values
    return (wt, tc, et)
