"""Metrics and pictures of real scans, with their truth as the prediction."""

import numpy as np
import pytest
from PIL import Image

from glioseg.core.labels import REGIONS
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.data.cohort.layouts import find_cases
from glioseg.evaluation.columns import METRICS, STRUCTURES, column
from glioseg.evaluation.per_case import measure_case


@pytest.fixture
def labelled(real_scans):
    return [case for case in find_cases(real_scans) if case.labelled]


def test_truth_against_itself_is_perfect_and_can_be_drawn(labelled, tmp_path):
    for case in labelled:
        volume = read_volume(case.files["seg"])
        whole = Volume(np.rint(volume.data).astype(np.uint8), volume.grid)
        write_volume(tmp_path / f"{case.case}.nii.gz", whole)
        row = measure_case(case, predictions=tmp_path, pictures=tmp_path / "pictures")
        for metric in METRICS:
            assert {row[column(metric, structure)] for structure in STRUCTURES} == {
                0 if metric == "hd95_area_mm" else 1
            }
        for region in REGIONS:
            assert row[column("lesion_dice", region)] == row[column("surface_dice", region)] == 1
            assert row[column("lesion_hd95_area_mm", region)] == row[column("false_lesions", region)] == 0
            assert row[column("truth_ml", region)] == row[column("predicted_ml", region)] > 0
        with Image.open(tmp_path / "pictures" / f"{case.case}.png") as picture:
            assert picture.width > 1000
