"""Pretrained networks are calibrated, and written into the package with their lineage."""

import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.fingerprint import files_fingerprint, installed_version
from glioseg.core.labels import REGIONS
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.mlops.pretraining.phases import REQUIREMENTS_LOCK
from glioseg.mlops.pretraining.publish import (
    cross_validated_dice,
    publish_synthetic,
    publish_trained_on_real_cases,
)
from glioseg.mlops.pretraining.real_cases import crop_real_cases, train_on_real_cases
from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.models.selection import corruption_study


def test_the_network_of_the_phases_is_published_with_its_record(plan, package, phases, monkeypatch):
    monkeypatch.setattr(corruption_study, "COPIES_PER_KIND", 1)
    before = {file.name: file.read_bytes() for file in builtin.FOLDER.iterdir()}
    publish_synthetic(plan, phases)
    folder = builtin.builtin_model(builtin.SYNTHETIC)
    assert folder == package / "synthetic"
    trained, published = (
        keras.saving.load_model(file).get_weights() for file in (phases.weights, folder / "model.keras")
    )
    for ours, theirs in zip(published, trained, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))
    record = json.loads((folder / builtin.RECORD).read_text())
    assert (record["steps"], len(record["trained"]), record["validation_dice"]) == (4, 2, 0.3)
    assert record["trained"][0]["environment"] == files_fingerprint([REQUIREMENTS_LOCK], folder=Path())
    assert record["calibrated"]["computed_by"] == f"tensorflow {installed_version('tensorflow')}, CPU"
    assert pd.read_csv(folder / builtin.HISTORY)["phase"].tolist() == [1, 2]
    assert (folder / builtin.CARD).exists()
    assert {file.name: file.read_bytes() for file in builtin.FOLDER.iterdir()} == before


def test_folds_measure_the_network_that_is_trained_on_all_real_cases(
    plan, package, phases, real_folder, shared_storage, monkeypatch, tmp_path
):
    monkeypatch.setattr(corruption_study, "COPIES_PER_KIND", 1)
    cohort = crop_real_cases([real_folder], plan, shared_storage)
    trained = train_on_real_cases(plan, cohort, shared_storage, start=phases.weights)
    lines = publish_trained_on_real_cases(plan, phases, trained)
    record = json.loads((builtin.builtin_model() / builtin.RECORD).read_text())
    dice = record["real_cases"]["dice"]
    assert dice == cross_validated_dice(trained, Settings.load(builtin.FOLDER))
    means = {region: np.mean([regions[region] for regions in dice.values()]) for region in REGIONS}
    assert lines[0] == "Dice of 5 cases by cross-validation: " + ", ".join(
        f"{region} {mean:.3f}" for region, mean in means.items()
    )
    assert record["validation_dice"] == pytest.approx(np.mean(list(means.values())))
    assert record["real_cases"]["folds"] == {f"Case_{4 - place}": place % 2 for place in range(5)}
    assert record["real_cases"]["sha256"].keys() == dice.keys()
    assert (record["steps"], len(record["trained"])) == (8, 4)
    # Three epochs more in each phase: two folds and all cases.
    assert pd.read_csv(builtin.FOLDER / builtin.HISTORY)["phase"].tolist() == [1, 2, *[3] * 3, *[4] * 3]
    # A cohort with these cases, validated anywhere, is recognised.
    measured = measure_cohort(cohort.cases, records=tmp_path / "records")
    images = {volume.voxels_sha256: volume.case for volume in measured if volume.role != "seg"}
    assert builtin.training_images() == images
    assert len(images) == 5  # the four images of a case are the same
    settings = Settings.load(builtin.FOLDER)
    assert settings.calibrated_on == "real"
    assert settings.volume_intervals.cases == settings.volume_intervals_unmirrored.cases == 5
    assert set(record["calibrated_on_real_cases"]["left_out"]) == {"with mirroring", "without mirroring"}


def test_each_fold_needs_two_cases(plan, package, real_folder, shared_storage):
    plan = plan.model_copy(update={"real": plan.real.model_copy(update={"folds": 3})})
    with pytest.raises(GliosegError, match="expected at least 6 labelled cases for 3 folds, got 5"):
        crop_real_cases([real_folder], plan, shared_storage)
