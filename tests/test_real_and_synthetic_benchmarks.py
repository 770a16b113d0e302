"""Benchmarks that train on phantoms and score on real cases: options, cases, Dice and volumes."""

import argparse

import numpy as np
import pytest
from bench.score_real import score
from bench.train_on_phantoms import PLAN, phase_of

from glioseg.core.labels import Label
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.ingest import labelled_cases
from glioseg.params.pretraining import load_pretraining


class HalfOfTheTumour:
    """A model that finds the part of the bright cube with the smaller x, as enhancing tumour."""

    def segment(self, volumes):
        bright = volumes["t1ce"].data > 200
        bright[12:] = False
        return np.where(bright, Label.ET, 0).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A case with an enhancing cube of 8×8×8 voxels of 1 mm from voxel 8 on, and one without labels."""
    grid = Grid((24, 24, 24), np.diag([-1.0, -1, 1, 1]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[8:16, 8:16, 8:16] = 4
    image = np.where(labels > 0, 400, 100).astype(np.int16)
    for name in ("BraTS2021_00001", "BraTS2021_00002"):
        (tmp_path / name).mkdir()
        for role in MODALITIES:
            write_volume(tmp_path / name / f"{name}_{role}.nii.gz", Volume(image, grid))
    write_volume(tmp_path / "BraTS2021_00001/BraTS2021_00001_seg.nii.gz", Volume(labels, grid))
    return tmp_path


def test_half_of_a_cube_has_a_dice_of_two_thirds(folder):
    (row,) = score(HalfOfTheTumour(), labelled_cases([folder])).to_dict("records")
    assert row["case"] == "BraTS2021_00001"
    # Half of the cube is found, and nothing else: 2 × ½ / (1 + ½). 8³ mm³ are 0.512 ml.
    assert [row[name] for name in ("wt", "tc", "et", "mean")] == pytest.approx([2 / 3] * 4)
    assert (row["et_ml"], row["et_predicted_ml"]) == pytest.approx((0.512, 0.256))


def test_a_training_has_the_options_and_else_the_last_phase_of_the_plan():
    last = load_pretraining(PLAN).phases[-1]
    options = argparse.Namespace(seed=6, filters=8, epochs=2, steps=3, learning_rate=0.002)
    phase = phase_of(options, last.model_copy(update={"batch_size": 4, "patches_per_case": 2}))
    assert (phase.epochs, phase.steps_per_epoch, phase.base_filters) == (2, 3, 8)
    assert (phase.batch_size, phase.patches_per_case) == (1, 1)
