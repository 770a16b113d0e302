import re
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, decode_volume
from glioseg.data.cohort.cases import Case, Scan
from glioseg.models.inference.predictor import Predictor
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import check_scans, encode_labels, encode_probabilities, with_mirror
from tests.helpers.models import Formula, everywhere, make_settings

GRID = Grid((9, 8, 7), np.diag([1.0, 1, 2, 1]))


@pytest.fixture
def model():
    return Predictor((Formula(everywhere),), make_settings())


def volume(high=20):
    data = np.zeros(GRID.shape, np.int16)
    data[2:8, 1:7, 1:6] = np.random.default_rng(0).integers(10, high, (6, 6, 5))
    return Volume(data, GRID)


def check(scans):
    return check_scans(Case("one", dict.fromkeys(scans, Path()), LabelScheme.BRATS2021), scans, Contract())


def test_a_case_without_modality_is_rejected():
    checked = check({"seg": Scan("", volume())})
    assert [str(finding) for finding in checked.critical] == [
        "one: modality: expected at least one of t1, t1ce, t2, flair, got none"
    ]


def test_the_images_are_in_the_order_of_modalities_and_without_the_segmentation():
    scans = {role: Scan(role, volume()) for role in ("flair", "t1", "seg")}
    assert list(check(scans).images) == ["t1", "flair"]


def test_a_background_that_is_not_0_changes_nothing():
    scans = {m: Scan(m, volume()) for m in MODALITIES}
    moved = {m: Scan(m, Volume(volume().data * 0.5 - 100, GRID)) for m in MODALITIES}
    assert check(moved).findings == check(scans).findings
    for image in check(moved).images.values():
        np.testing.assert_array_equal(image.data, volume().data * 0.5)


def test_a_head_is_rejected_with_the_share_that_is_not_brain():
    grid = Grid((60, 60, 60), np.diag([-3.0, -3.0, 3.0, 1.0]))
    axis = (np.arange(60) - 29.5) * 3
    distance_mm = np.sqrt(sum(each**2 for each in np.ix_(axis, axis, axis)))
    head = np.zeros(grid.shape, np.int16)
    for radius_mm, value in ((85, 140), (77, 10), (70, 100)):
        head[radius_mm > distance_mm] = value
    findings = [str(finding) for finding in check({"t1": Scan("", Volume(head, grid))}).critical]
    # 1 - (70 / 85)^3 is 44 %; up to 5 mm of skull around the brain count as brain.
    (share,) = re.findall(
        r"one/t1: skull stripped: expected a skull-stripped brain, got (\d+) % of the foreground outside it",
        findings[0],
    )
    assert len(findings) == 1
    assert 29 <= int(share) <= 44


def test_a_copy_of_another_modality_is_a_warning():
    scans = {
        m: Scan(m, Volume(volume().data + (3 * n * (volume().data > 0)).astype(np.int16), GRID))
        for n, m in enumerate(MODALITIES)
    }
    assert "own bytes" not in {finding.expectation for finding in check(scans).findings}
    scans["t1ce"] = Scan("t1ce", Volume(volume().data.astype(np.float32), GRID))
    (copy,) = [finding for finding in check(scans).findings if finding.expectation == "own bytes"]
    assert (copy.role, copy.severity, copy.observed) == ("t1ce", "warning", "a copy of one/t1")


def test_a_rejected_case_never_reaches_the_model(model):
    checked = check({"t1": Scan("t1", problem="not a NIfTI file")})
    with pytest.raises(ValueError, match="expected a case that meets the contract, got: one/t1"):
        checked.predict(model)
    assert model.models[0].shapes == []


def test_an_accepted_case_is_segmented_on_the_grid_of_its_scans(model):
    checked = check({m: Scan(m, volume()) for m in MODALITIES})
    prediction = checked.predict(model)
    assert prediction.labels.shape == GRID.shape
    labels = decode_volume(encode_labels(prediction, checked.grid, LabelScheme.MSD), name="labels")
    # The necrotic core of the whole brain: 1 in BraTS, 2 in the Decathlon.
    np.testing.assert_array_equal(labels.data, np.where(volume().data > 0, 2, 0))
    np.testing.assert_array_equal(labels.grid.affine, GRID.affine)
    files = encode_probabilities(prediction, checked.grid)
    assert list(files) == ["WT", "TC", "ET"]
    for region, content in files.items():
        assert decode_volume(content, name=region).data.shape == GRID.shape


@pytest.mark.parametrize(("mirror", "expected"), [(None, False), (True, True), (False, False)])
def test_mirroring_is_the_models_setting_unless_given(model, mirror, expected):
    assert model.settings == make_settings()
    assert with_mirror(model, mirror).settings.mirror is expected
