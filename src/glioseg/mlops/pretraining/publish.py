"""Calibrates the pretrained networks, and writes them into the package with their lineage."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from glioseg.core.dice import dice_per_channel
from glioseg.core.files import replace_folder_atomic
from glioseg.core.labels import REGIONS, regions_from_labels
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case, read_images
from glioseg.data.quality.volume_statistics import measure_image_quality
from glioseg.mlops.pretraining.phases import TrainedPhases, current_origin, render_validation, stream
from glioseg.mlops.pretraining.real_cases import TrainedOnRealCases
from glioseg.models import builtin
from glioseg.models.networks.keras_file import (
    MODEL_FILE,
    compress_keras_file,
    load_network,
    round_to_float16,
    save_networks,
)
from glioseg.params.contract import CONTRACT
from glioseg.params.pretraining import Phase, Pretraining

if TYPE_CHECKING:
    import keras

    from glioseg.models.inference.model_settings import Settings

WRITTEN_BY_HAND = (builtin.CARD, "LICENSE")


def publish_synthetic(plan: Pretraining, trained: TrainedPhases) -> None:
    """Calibrate the network of the last phase on the validation phantoms, and write it into the package."""
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.selection.calibrate import calibrate_model
    from glioseg.models.selection.unseen_case import unseen_cases

    assert trained.weights is not None
    cases, network, train = plan.of_phase(plan.phases[-1])
    model = _rounded(trained.weights)
    validation = render_validation(plan, spacing_mm=1)  # the resolution of predictions
    calibrated = calibrate_model(
        unseen_cases(validation, [model]),
        Settings.untuned(network, train, plan.crop, plan.inference),
        inference=plan.inference,
        training_cases=stream(cases),
        calibrated_on="synthetic",
    )
    _write(builtin.SYNTHETIC, model, calibrated, trained.history, _record(plan, trained))


def publish_trained_on_real_cases(
    plan: Pretraining, before: TrainedPhases, trained: TrainedOnRealCases
) -> list[str]:
    """Calibrate the network that was trained on all real cases, and write it into the package.

    The networks of the folds choose its settings and measure it, each on cases that it was not trained on.

    Args:
        plan: the settings.
        before: the phases that the training on real cases started from.
        trained: this training.

    Returns:
        Lines of text: what was measured.
    """
    calibrated, left_out = _calibrate(plan, trained)
    dice = cross_validated_dice(trained, calibrated)
    cohort, first = trained.cohort, len(before.origins)
    with_real = replace(
        before,
        history=pd.concat([before.history, trained.history.assign(phase=trained.history["phase"] + first)]),
        origins=(*before.origins, *trained.origins),
    )
    names = [case.case for case in cohort.cases]
    real_cases = {
        "sha256": dict(zip(names, cohort.sha256, strict=True)),
        "images": {case.case: image_hashes(case) for case in cohort.cases},
        "folds": dict(zip(names, cohort.folds, strict=True)),
        "dice": dice,
    }
    record = _record(plan, with_real) | {
        "steps": _steps((*plan.phases, *plan.real.phases)),
        "validation_dice": float(np.mean([list(regions.values()) for regions in dice.values()])),
        "real_cases": real_cases,
        "calibrated_on_real_cases": {**current_origin(), "cases": names, "left_out": left_out},
    }
    _write(builtin.ADDRESS, _rounded(trained.folder / MODEL_FILE), calibrated, with_real.history, record)
    means = {region: np.mean([regions[region] for regions in dice.values()]) for region in REGIONS}
    lines = [f"{region} {when}: {json.dumps(s)}" for when, of in left_out.items() for region, s in of.items()]
    return [
        f"Dice of {len(names)} cases by cross-validation: "
        + ", ".join(f"{region} {mean:.3f}" for region, mean in means.items()),
        *lines,
    ]


def _calibrate(plan: Pretraining, trained: TrainedOnRealCases) -> "tuple[Settings, dict[str, Any]]":
    """The settings that unseen cases choose, and how good the confidence is for a case that was left out."""
    from glioseg.models.inference.model_settings import Settings
    from glioseg.models.selection.calibrate import calibrate_model
    from glioseg.models.selection.real_cases import (
        add_unmirrored,
        calibrate_confidence,
        leave_one_out,
        score_real_cases,
    )

    unseen, (phantoms, network, train) = trained.unseen(), plan.of_real_phase(plan.real.phases[-1])
    inference = plan.real.inference
    calibrated = calibrate_model(
        unseen,
        Settings.untuned(network, train, plan.crop, inference),
        inference=inference,
        training_cases=stream(phantoms),
        calibrated_on="real",
    )
    mirrored, unmirrored = (
        score_real_cases(unseen, replace(calibrated, mirror=mirror)) for mirror in (True, False)
    )
    left_out = {
        "with mirroring": leave_one_out(mirrored, calibrated),
        "without mirroring": leave_one_out(unmirrored, calibrated),
    }
    both = add_unmirrored(
        calibrate_confidence(mirrored, calibrated), calibrate_confidence(unmirrored, calibrated)
    )
    return both, left_out


def image_hashes(case: Case) -> list[str]:
    """The hash of the voxels of each image of a case, as validation computes it."""
    volumes = [volume.grid.to_lps(volume.data) for volume in read_images(case).values()]
    return [str(measure_image_quality(data, data[data != 0])["voxels_sha256"]) for data in volumes]


def cross_validated_dice(trained: TrainedOnRealCases, settings: "Settings") -> dict[str, dict[str, float]]:
    """Dice of each region of each case, on the scan's own grid, by the network that has not seen the case."""
    from glioseg.evaluation.per_case import dense_labels
    from glioseg.models.inference.predictor import Predictor

    scores = {}
    for case, unseen in zip(trained.cohort.cases, trained.unseen(), strict=True):
        predicted = Predictor(tuple(unseen.models), settings).segment(read_images(case))
        truth = dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme)
        dice = dice_per_channel(regions_from_labels(truth), regions_from_labels(predicted))
        scores[case.case] = dict(zip(REGIONS, dice.tolist(), strict=True))
    return scores


def _rounded(weights: Path) -> "keras.Model":
    """The network of a file with weights rounded to float16."""
    round_to_float16(model := load_network(weights))
    return model


def _write(
    address: str,
    model: "keras.Model",
    settings: "Settings",
    history: pd.DataFrame,
    record: Mapping[str, object],
) -> None:
    """Replace a model of the package; the files that people write stay."""
    folder = builtin.folder_of(address)
    with replace_folder_atomic(folder) as aside:
        save_networks(aside, [model])
        compress_keras_file(aside / MODEL_FILE)
        settings.save(aside)
        for name in WRITTEN_BY_HAND:
            copy(folder / name, aside)
        copy(CONTRACT, aside)
        history.to_csv(aside / builtin.HISTORY, index=False)
        (aside / builtin.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        builtin.write_checksums(aside)


def _record(plan: Pretraining, trained: TrainedPhases) -> dict[str, object]:
    """The lineage of a model; the Dice is that of the last phase on its validation cases."""
    last = trained.history[trained.history["phase"] == trained.history["phase"].max()]
    return {
        "settings": plan.model_dump(mode="json"),
        "steps": _steps(plan.phases),
        "validation_dice": float(last["val_dice"].max()),
        "trained": list(trained.origins),
        "calibrated": current_origin(),
    }


def _steps(phases: Sequence[Phase]) -> int:
    return sum(phase.epochs * phase.steps_per_epoch for phase in phases)
