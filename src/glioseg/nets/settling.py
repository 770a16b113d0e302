"""What validation cases decide about a trained model: post-processing, calibration, intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from glioseg.labels import labels_from_regions, regions_from_labels
from glioseg.nets.calibration import (
    Counts,
    calibration_error,
    count_logits,
    fit_temperature,
    voxels_from,
)
from glioseg.nets.passes import examine
from glioseg.nets.postprocess import choose_sizes, clean
from glioseg.nets.settings import Regions3, Settings
from glioseg.nets.uncertainty import POSSIBLE, SURE, choose_reach, doubt

if TYPE_CHECKING:
    import keras

    from glioseg.data.store import CroppedCase
    from glioseg.params import Inference


@dataclass(frozen=True)
class _Record:
    """What is kept of one case, so that no case's probabilities stay in memory.

    `counts`: see `count_logits`; `dice`, `voxels`: of the cleaned answer, for each choice of
    `min_component_ml`, of `min_et_ml`, and region; `truth`: the true voxels of each region.
    """

    counts: Counts
    dice: Float64[NDArray, "components ets 3"]
    voxels: Float64[NDArray, "components ets 3"]
    truth: Float64[NDArray, "3"]


def settle(
    members: Sequence[tuple["keras.Model", Sequence["CroppedCase"]]],
    settings: Settings,
    *,
    inference: "Inference",
) -> Settings:
    """Choose everything that validation decides.

    The sizes that count are those with the best mean Dice over cases and regions (`choose_sizes`);
    then each region's temperature, and the reach of its volume's interval. They are chosen at the
    network's spacing, one network at a time: no case is new to every member of a cross-validation.

    Args:
        members: each network with the cases that it has not seen in training.
        settings: `Settings.untuned`.
        inference: the choices.
    """
    records = [_record(model, case, settings, inference) for model, cases in members for case in cases]
    components, ets = inference.min_component_ml, inference.min_et_ml
    dice = np.mean([record.dice for record in records], axis=(0, 3))
    component, et = choose_sizes(dice, components=components, ets=ets)
    chosen = (components.index(component), ets.index(et))
    counts = np.sum([record.counts for record in records], axis=0)
    temperature = _regions(fit_temperature(region) for region in counts)
    return replace(
        settings,
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


def _record(model: "keras.Model", case: "CroppedCase", settings: Settings, inference: "Inference") -> _Record:
    image, label = (array[:] for array in case.open(settings.spacing_mm))
    regions = examine([model], image.astype(np.float32), settings).regions
    brain, truth = image.any(axis=-1), regions_from_labels(label)
    regions[~brain] = 0
    dice, voxels = _trials(regions, truth, inference, voxel_ml=settings.spacing_mm**3 / 1000)
    return _Record(count_logits(regions[brain], truth[brain]), dice, voxels, truth.sum(axis=(0, 1, 2)))


def _trials(
    regions: NDArray[np.float32], truth: NDArray[np.bool_], inference: "Inference", *, voxel_ml: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and voxels of each region for every pair of sizes."""
    from glioseg.nets.validation import hard_dice  # Keras is loaded already where there is a network

    labels = labels_from_regions(regions)
    sizes = list(product(inference.min_component_ml, inference.min_et_ml))
    dice, voxels = np.zeros((len(sizes), 3)), np.zeros((len(sizes), 3))
    for row, (component, et) in enumerate(sizes):
        kept = clean(labels, min_component_ml=component, min_et_ml=et, voxel_ml=voxel_ml)
        answer = regions_from_labels(kept)
        dice[row], voxels[row] = hard_dice(truth, answer), answer.sum(axis=(0, 1, 2))
    shape = (len(inference.min_component_ml), len(inference.min_et_ml), 3)
    return dice.reshape(shape), voxels.reshape(shape)


def _reach(
    records: Sequence[_Record],
    region: int,
    chosen: tuple[int, int],
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
