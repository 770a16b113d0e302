import numpy as np
import pytest

from glioseg.core.geometry import Box
from glioseg.core.nifti import Grid
from glioseg.data.store.cropping import Placement
from glioseg.models.inference.prediction import NUMERIC_COLUMNS, BrainProbabilities, Prediction, RegionVolume

GRID = Grid((2, 1, 3), np.diag([-1.0, -1, 1, 1]))  # LPS, as the crop
BRAIN = np.array([[[True, False]]])  # the crop's two voxels: the middle and the last of the second row
PROBABILITIES = BrainProbabilities(
    np.array([[0.9, 0.5, 0.25]], np.float32), BRAIN, Placement(GRID, Box((1, 0, 1), (2, 1, 3)))
)


def make_prediction(**more):
    empty = np.zeros(GRID.shape, np.uint8)
    volumes = {"WT": RegionVolume(2.0, 1.0, 4.0, 0.8), "TC": RegionVolume(1.0, level=0.8)}
    return Prediction(empty, empty.astype(np.float32), volumes, PROBABILITIES, **more)


def test_probabilities_are_placed_in_the_scan():
    scan = PROBABILITIES.on_grid()
    assert scan.shape == (2, 1, 3, 3)
    assert scan[1, 0, 1].tolist() == pytest.approx([0.9, 0.5, 0.25])
    assert scan.sum() == pytest.approx(1.65)


def test_labels_of_the_same_voxels():
    assert PROBABILITIES.same_voxels(np.arange(6, dtype=np.uint8).reshape(2, 1, 3)).tolist() == [4]


def test_a_prediction_is_a_row_of_numbers():
    row = make_prediction(mean_bits={"brain": 1.5}, confidence={"ET": 0.7}, grade_lgg=0.25).numeric_values
    assert tuple(row) == NUMERIC_COLUMNS
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {
        "wt_ml": 2.0,
        "wt_low_ml": 1.0,
        "wt_high_ml": 4.0,
        "tc_ml": 1.0,
        "interval_level": 0.8,
        "brain_bits": 1.5,
        "et_confidence": 0.7,
        "grade_lgg": 0.25,
    }
