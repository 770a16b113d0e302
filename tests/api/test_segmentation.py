import json

import nibabel as nib
import numpy as np
import pytest

import glioseg
from glioseg.core.modalities import MODALITIES
from glioseg.models.inference.model_settings import VolumeIntervals
from tests.helpers.models import IDENTITY_ESTIMATOR, make_settings
from tests.helpers.predicting import GRID, use_formula, write_scans

BRAIN = np.zeros(GRID.shape, bool)
BRAIN[2:8, 1:7, 1:6] = True


@pytest.fixture
def result(monkeypatch, tmp_path):
    """The formula labels all 180 voxels of the brain, of 2 mm³ each, as core."""
    model = use_formula(monkeypatch)
    model["settings"] = make_settings(
        volume_intervals=VolumeIntervals((0.0, 5.0, 0.0), 0.875, cases=7), confidence=IDENTITY_ESTIMATOR
    )
    write_scans(tmp_path, "one", MODALITIES)
    return glioseg.segment(tmp_path / "one")


def test_labels_and_probabilities_are_on_the_grid_of_the_scan(result):
    np.testing.assert_array_equal(result.labels, BRAIN.astype(np.uint8))
    assert result.probabilities.shape == (*GRID.shape, 3)
    assert (result.probabilities[~BRAIN] == 0).all()
    assert (result.probabilities[BRAIN][:, 1] >= 0.5).all()
    assert result.entropy_bits.shape == GRID.shape


def test_volumes_and_their_intervals_are_in_ml(result):
    assert result.volumes_ml == {"WT": pytest.approx(0.36), "TC": pytest.approx(0.36), "ET": 0}
    low, high = result.volume_intervals_ml["WT"]
    assert (low, high) == (pytest.approx(0.36), pytest.approx(0.36))
    assert result.expected_dice.keys() == {"WT", "TC", "ET"}


def test_warnings_are_those_of_the_scans_and_of_low_confidence(result):
    assert any("one/t1 (one_t1.nii.gz): shape: expected (240, 240, 155)" in line for line in result.warnings)
    assert result.prediction.low_confidence_reasons[0] in result.warnings


def test_a_saved_file_and_the_image_hold_the_label_values_of_the_scheme(result, tmp_path):
    result.save(tmp_path / "new" / "seg.nii.gz", scheme="msd")  # the core is 2 there
    saved = nib.load(tmp_path / "new" / "seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(saved.dataobj), 2 * BRAIN)
    np.testing.assert_allclose(saved.affine, GRID.affine)
    np.testing.assert_array_equal(np.asarray(result.to_nibabel().dataobj), BRAIN)
    with pytest.raises(ValueError, match="brats1999"):
        result.save(tmp_path / "other.nii.gz", scheme="brats1999")
    assert not (tmp_path / "other.nii.gz").exists()


def test_the_picture_and_the_text_name_the_case_and_its_volumes(result, tmp_path):
    result.plot().save(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    assert repr(result) == "Segmentation of one: WT 0.4 ml, TC 0.4 ml, ET 0.0 ml"


def test_statistics_are_json(result):
    statistics = json.loads(json.dumps(result.statistics()))
    assert (statistics["case"], statistics["interval_level"]) == ("one", 0.875)
