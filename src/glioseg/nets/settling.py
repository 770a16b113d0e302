"""What validation cases decide about a trained model: passes, post-processing, calibration, doubt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

from glioseg.labels import regions_from_labels
from glioseg.nets.calibration import (
    Counts,
    calibration_error,
    count_logits,
    fit_temperature,
    voxels_from,
)
from glioseg.nets.passes import examine, one_pass_fits
from glioseg.nets.postprocess import choose, clean, decide
from glioseg.nets.settings import Regions3, Settings
from glioseg.nets.spoiling import learn_confidence
from glioseg.nets.uncertainty import POSSIBLE, SURE, choose_reach, doubt

if TYPE_CHECKING:
    import keras

    from glioseg.data.store import CroppedCase
    from glioseg.params.sections import Inference

    Members = Sequence[tuple["keras.Model", Sequence[CroppedCase]]]

ONE_PASS_MAY_COST = 0.005
"""Mean Dice that one pass, several times as fast, may be worse than windows."""


@dataclass(frozen=True)
class _Record:
    """What is kept of one case, so that no case's probabilities stay in memory.

    `counts`: see `count_logits`; `dice`, `voxels`: of the cleaned answer, for each choice of the threshold,
    of `min_component_ml`, of `min_et_ml`, and region; `truth`: the true voxels of each region.
    """

    counts: Counts
    dice: Float64[NDArray, "thresholds components ets 3"]
    voxels: Float64[NDArray, "thresholds components ets 3"]
    truth: Float64[NDArray, "3"]


def settle(
    members: "Members",
    settings: Settings,
    *,
    inference: "Inference",
    learned: "Sequence[CroppedCase]",
) -> Settings:
    """Choose everything that validation decides.

    A network that learned from patches meets other means and deviations in a whole crop: crops are
    seen at once if that costs no more than `ONE_PASS_MAY_COST`. The threshold and the sizes that count are
    those with the best mean Dice over cases and regions (`postprocess.choose`); then come each region's
    temperature, the reach of its volume's interval, and when to trust an answer. All is chosen at the
    network's spacing, one network at a time: no case is new to every member of a cross-validation.

    Args:
        members: each network with the cases that it has not seen in training.
        settings: `Settings.untuned`.
        inference: the choices.
        learned: the cases that the networks have seen in training.
    """
    settings = replace(settings, one_pass=_one_pass_will_do(members, settings))
    records = [_record(model, case, settings, inference) for model, cases in members for case in cases]
    thresholds, components, ets = inference.threshold, inference.min_component_ml, inference.min_et_ml
    dice = np.mean([record.dice for record in records], axis=(0, 4))
    threshold, component, et = choose(dice, thresholds=thresholds, components=components, ets=ets)
    chosen = (thresholds.index(threshold), components.index(component), ets.index(et))
    counts = np.sum([record.counts for record in records], axis=0)
    temperature = _regions(fit_temperature(region) for region in counts)
    settled = replace(
        settings,
        threshold=threshold,
        min_et_ml=et,
        min_component_ml=component,
        temperature=temperature,
        volume_reach=_regions(
            _reach(records, r, chosen, temperature[r], voxel_ml=settings.spacing_mm**3 / 1000)
            for r in range(3)
        ),
        calibration_error_before=_regions(calibration_error(region, 1.0) for region in counts),
        calibration_error_after=_regions(map(calibration_error, counts, temperature)),
    )
    pairs = [(model, case) for model, cases in members for case in cases]
    return replace(settled, confidence=learn_confidence(pairs, settled, learned=learned))


def _one_pass_will_do(members: "Members", settings: Settings) -> bool:
    """Compare both ways where they differ: on crops that are larger than a window and fit in memory."""
    one_pass = replace(settings, one_pass=True, mirror=False)
    windows = replace(one_pass, one_pass=False)
    costs = [
        _dice(model, case, windows) - _dice(model, case, one_pass)
        for model, cases in members
        for case in cases
        if _differs(case.open(settings.spacing_mm)[1].shape, settings)
    ]
    return not costs or float(np.mean(costs)) <= ONE_PASS_MAY_COST


def _differs(crop: tuple[int, ...], settings: Settings) -> bool:
    d, h, w = crop
    larger = any(n > edge for n, edge in zip(crop, settings.window_shape, strict=True))
    return larger and one_pass_fits((d, h, w), settings)


def _dice(model: "keras.Model", case: "CroppedCase", settings: Settings) -> float:
    from glioseg.nets.validation import hard_dice  # Keras is loaded already where there is a network

    regions, _, truth = _seen(model, case, settings)
    return float(hard_dice(truth, regions >= 0.5).mean())


def _seen(
    model: "keras.Model", case: "CroppedCase", settings: Settings
) -> tuple[Float32[NDArray, "d h w 3"], Bool[NDArray, "d h w"], Bool[NDArray, "d h w 3"]]:
    """What the network says of each region, 0 outside the brain; the brain; and the truth."""
    image, label = (array[:] for array in case.open(settings.spacing_mm))
    regions: NDArray[np.float32] = examine([model], image.astype(np.float32), settings).regions
    brain = image.any(axis=-1)
    regions[~brain] = 0
    return regions, brain, regions_from_labels(label)


def _record(model: "keras.Model", case: "CroppedCase", settings: Settings, inference: "Inference") -> _Record:
    regions, brain, truth = _seen(model, case, settings)
    dice, voxels = _trials(regions, truth, inference, voxel_ml=settings.spacing_mm**3 / 1000)
    return _Record(count_logits(regions[brain], truth[brain]), dice, voxels, truth.sum(axis=(0, 1, 2)))


def _trials(
    regions: NDArray[np.float32], truth: NDArray[np.bool_], inference: "Inference", *, voxel_ml: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and voxels of each region for every threshold and pair of sizes."""
    from glioseg.nets.validation import hard_dice  # Keras is loaded already where there is a network

    choices = (inference.threshold, inference.min_component_ml, inference.min_et_ml)
    dice, voxels = (np.zeros((*map(len, choices), 3)) for _ in range(2))
    for t, threshold in enumerate(inference.threshold):
        labels = decide(regions, threshold)
        for c, component in enumerate(inference.min_component_ml):
            for e, et in enumerate(inference.min_et_ml):
                kept = clean(labels, min_component_ml=component, min_et_ml=et, voxel_ml=voxel_ml)
                answer = regions_from_labels(kept)
                dice[t, c, e], voxels[t, c, e] = hard_dice(truth, answer), answer.sum(axis=(0, 1, 2))
    return dice, voxels


def _reach(
    records: Sequence[_Record],
    region: int,
    chosen: tuple[int, int, int],
    temperature: float,
    *,
    voxel_ml: float,
) -> float:
    """The reach of one region's volume interval."""

    def doubt_of(record: _Record) -> float:
        sure, possible = (voxels_from(record.counts[region], p, temperature) for p in (SURE, POSSIBLE))
        return doubt(sure * voxel_ml, possible * voxel_ml)

    return choose_reach(
        [float(record.truth[region]) * voxel_ml for record in records],
        [float(record.voxels[*chosen, region]) * voxel_ml for record in records],
        [doubt_of(record) for record in records],
    )


def _regions(values: Iterator[float]) -> Regions3:
    wt, tc, et = values
    return (wt, tc, et)
