from dataclasses import astuple, replace

import numpy as np
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.out_of_distribution import FEATURE_NAMES, OutOfDistribution
from glioseg.models.inference.prediction import NUMERIC_COLUMNS
from glioseg.models.inference.predictor import Predictor
from glioseg.models.inference.quality_estimation import QualityEstimator
from glioseg.params.contract import Contract, SpacingRule
from tests.helpers.models import Formula, make_settings

COARSE = Contract(spacing=SpacingRule(severity="critical", predict="warning", mm=(2.0, 2.0, 2.0)))
"""The contract of a model that was trained on voxels of 2 mm."""


def bright_is_tumour(batch):
    """WT, TC and ET are where the first channel is above 0, 1 and 2."""
    return np.stack([batch[..., 0] > level for level in (0, 1, 2)], axis=-1)


def constant(*regions):
    return lambda batch: np.broadcast_to(np.float32(regions), (*batch.shape[:4], 3))


def bright_block(affine):
    """A brain of 180 voxels, 8 of them bright: there z = sqrt(172 / 8) = 4.6."""
    scan = np.zeros((9, 8, 7), np.int16)
    scan[2:8, 1:7, 1:6] = 10
    scan[4:6, 3:5, 2:4] = 100
    return scan, {name: Volume(scan, Grid(scan.shape, affine)) for name in MODALITIES}


def make_predictor(segmentation, settings=None, **outcomes):
    return Predictor((Formula(segmentation, **outcomes),), settings or make_settings())


@pytest.mark.parametrize("affine", [np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1, 1])])
def test_labels_come_back_on_the_scan_s_own_grid(affine):
    scan, images = bright_block(affine)
    prediction = make_predictor(bright_is_tumour, make_settings(multiple=4)).predict(images)
    np.testing.assert_array_equal(prediction.labels, np.where(scan == 100, 3, 0))
    np.testing.assert_array_equal(
        make_predictor(bright_is_tumour, make_settings(multiple=4)).segment(images), prediction.labels
    )


@pytest.mark.parametrize("spacing_mm", [1, 2])
def test_outside_the_brain_there_is_no_tumour_and_no_entropy(spacing_mm):
    scan = np.zeros((6, 6, 6), np.int16)
    scan[1:5, 1:5, 1:5] = np.arange(64).reshape(4, 4, 4) + 1
    images = {name: Volume(scan, Grid(scan.shape, np.eye(4))) for name in MODALITIES}
    predictor = make_predictor(constant(0.75, 0.5, 0.25), make_settings(spacing_mm=spacing_mm))
    prediction = predictor.predict(images)
    np.testing.assert_array_equal(prediction.labels, np.where(scan > 0, 1, 0))
    np.testing.assert_allclose(prediction.entropy_bits, np.where(scan > 0, 2.0, 0.0), atol=1e-6)
    assert prediction.entropy_bits.dtype == np.float32


def test_volumes_are_counted_on_the_scan_s_own_grid():
    _, images = bright_block(np.diag([2.0, 2, 2, 1]))
    prediction = replace(make_predictor(bright_is_tumour), contract=COARSE).predict(images)
    # 8 voxels of 8 mm³.
    for volume in prediction.volumes.values():
        assert astuple(volume) == (pytest.approx(0.064), None, None, None, None)
    assert prediction.interval_level is None
    assert (prediction.numeric_values["wt_low_ml"], prediction.numeric_values["interval_level"]) == (
        None,
        None,
    )


def test_probabilities_are_calibrated_and_on_the_scan_s_own_grid():
    scan, images = bright_block(np.diag([1.0, 1, 2, 1]))
    predictor = make_predictor(constant(0.9, 0.5, 0.0), make_settings(temperature=(2.0, 1.0, 1.0)))
    # ln 9 / 2 = ln 3, whose probability is 3/4.
    expected = np.where(scan[..., None] > 0, np.float32([0.75, 0.5, 0.0]), 0)
    np.testing.assert_allclose(predictor.predict(images).probabilities.on_grid(), expected, atol=1e-6)


def test_intervals_are_computed_from_calibrated_probabilities():
    _, images = bright_block(np.eye(4))
    intervals = VolumeIntervals((1.0, 1.0, 1.0), level=0.8, cases=4)
    settings = make_settings(temperature=(2.0, 1.0, 1.0), volume_intervals=intervals)
    prediction = make_predictor(constant(0.95, 0.95, 0.0), settings).predict(images)
    # All 180 voxels, 0.18 ml. WT: ln 19 / 2 gives 0.81, so no voxel is certain: uncertainty ln 1.18.
    wt, tc = prediction.volumes["WT"], prediction.volumes["TC"]
    assert (wt.ml, wt.low_ml, wt.high_ml) == pytest.approx((0.18, 0.0, 0.18), abs=1e-6)
    assert (wt.level, prediction.interval_level, prediction.numeric_values["interval_level"]) == (
        0.8,
        0.8,
        0.8,
    )
    # TC is certain everywhere: the minimum uncertainty, 0.1. The brain limits it.
    assert (tc.ml, tc.low_ml, tc.high_ml) == pytest.approx((0.18, 1.18 * np.exp(-0.1) - 1, 0.18))


def test_confidence_is_computed_from_calibrated_probabilities():
    _, images = bright_block(np.eye(4))
    out_of_distribution = OutOfDistribution(
        (0.0,) * len(FEATURE_NAMES), (1.0,) * len(FEATURE_NAMES), 50.0, ()
    )
    estimator = QualityEstimator(((0.0, 1.0),) * 3, ((0.0, 1.0),) * 3, out_of_distribution)
    settings = make_settings(temperature=(2.0, 1.0, 1.0), confidence=estimator)
    prediction = make_predictor(constant(0.9, 0.75, 0.0), settings).predict(images)
    # ln 9 / 2 = ln 3, whose probability is 3/4, everywhere in the brain: 2 · ¾ / (¾ + 1); ET is as TC.
    assert prediction.confidence == pytest.approx(dict.fromkeys(("WT", "TC", "ET"), 6 / 7))
    assert (prediction.numeric_values["et_confidence"], prediction.low_confidence_reasons) == (
        pytest.approx(6 / 7),
        (),
    )
    stricter = replace(out_of_distribution, limit=0.1)
    strict = replace(settings, confidence=replace(estimator, out_of_distribution=stricter))
    (reason,) = make_predictor(constant(0.9, 0.75, 0.0), strict).predict(images).low_confidence_reasons
    assert reason.startswith("out of distribution: ")


def test_a_model_without_a_quality_estimator_has_no_confidence():
    _, images = bright_block(np.eye(4))
    prediction = make_predictor(bright_is_tumour).predict(images)
    assert (
        prediction.confidence,
        prediction.low_confidence_reasons,
        prediction.numeric_values["wt_confidence"],
    ) == (
        {},
        (),
        None,
    )


def test_any_modality_may_be_missing_and_the_prediction_lists_it():
    scan, images = bright_block(np.eye(4))
    del images["t1ce"], images["flair"]
    seen = []

    def segmentation(batch):
        seen.append(batch.any(axis=(0, 1, 2, 3)).tolist())
        return bright_is_tumour(batch)

    prediction = make_predictor(segmentation).predict(images)
    assert prediction.missing == ("t1ce", "flair")
    assert seen == [[True, False, True, False]]
    np.testing.assert_array_equal(prediction.labels, np.where(scan == 100, 3, 0))
    with pytest.raises(GliosegError, match="no modality: expected at least one of t1, t1ce, t2, flair"):
        make_predictor(segmentation).predict({})


def test_a_constant_scan_is_brain_too():
    """Its z-score is 0 everywhere, as outside the brain."""
    scan = np.zeros((4, 4, 4), np.int16)
    scan[1:3, 1:3, 1:3] = 7
    prediction = make_predictor(constant(1, 1, 1)).predict({"t1": Volume(scan, Grid(scan.shape, np.eye(4)))})
    np.testing.assert_array_equal(prediction.labels, np.where(scan > 0, 3, 0))


def test_outcomes_are_none_or_in_their_units():
    _, images = bright_block(np.eye(4))
    prediction = make_predictor(bright_is_tumour).predict(images)
    assert (prediction.grade_lgg, prediction.survival_days) == (None, None)
    prediction = make_predictor(bright_is_tumour, grade=0.25, survival=2.0).predict(images)
    assert (prediction.grade_lgg, prediction.survival_days) == (0.25, 730.5)  # a year has 365.25 days


def test_members_are_averaged():
    _, images = bright_block(np.eye(4))
    pair = (Formula(constant(0.9, 0.2, 0.2)), Formula(constant(0.2, 0.2, 0.2)))
    # Their mean is 0.55: whole tumour everywhere in the brain.
    assert (Predictor(pair, make_settings()).segment(images) == 2).sum() == 180


def test_small_enhancing_tumour_becomes_core_and_a_small_component_background():
    scan, images = bright_block(np.diag([2.0, 2, 2, 1]))
    # 8 voxels of 8 mm³ are 0.064 ml.
    for sizes, label in (
        ({"min_et_ml": 0.064}, 3),
        ({"min_et_ml": 0.065}, 1),
        ({"min_component_ml": 0.064}, 3),
        ({"min_component_ml": 0.065}, 0),
    ):
        predictor = replace(make_predictor(bright_is_tumour, make_settings(**sizes)), contract=COARSE)
        labels = predictor.segment(images)
        np.testing.assert_array_equal(labels, np.where(scan == 100, label, 0))


@pytest.mark.parametrize(("spacing_mm", "voxel_ml"), [(1.0, 0.001), (2.0, 0.002), (0.5, 0.0005)])
def test_minimum_volumes_count_the_scan_s_own_voxels_after_resampling_too(spacing_mm, voxel_ml):
    scan, images = bright_block(np.diag([1.0, 1, spacing_mm, 1]))
    whole_ml = 180 * voxel_ml  # the whole brain enhances
    for sizes, label in (
        ({"min_et_ml": 0.99 * whole_ml}, 3),
        ({"min_et_ml": 1.01 * whole_ml}, 1),
        ({"min_component_ml": 1.01 * whole_ml}, 0),
    ):
        prediction = make_predictor(constant(1, 1, 1), make_settings(**sizes)).predict(images)
        np.testing.assert_array_equal(prediction.labels, np.where(scan > 0, label, 0))
        assert prediction.volumes["WT"].ml == pytest.approx(whole_ml if label else 0)


def test_volumes_entropy_and_outcomes_of_one_case():
    _, images = bright_block(np.diag([1.0, 1, 2, 1]))
    prediction = make_predictor(constant(0.75, 0.5, 0.0), grade=0.25).predict(images)
    row = prediction.numeric_values
    assert tuple(row) == NUMERIC_COLUMNS
    assert (row["tc_ml"], row["et_ml"], row["grade_lgg"]) == pytest.approx((0.36, 0.0, 0.25))  # 180 voxels
    # A quarter is background, a quarter oedema, half core: 1.5 bits.
    assert (row["brain_bits"], row["wt_bits"]) == pytest.approx((1.5, 1.5), abs=1e-5)
    assert row["et_bits"] is None
    assert row["survival_days"] is None


def test_without_t1ce_core_and_enhancement_have_a_reason_and_no_number():
    _, images = bright_block(np.eye(4))
    settings = make_settings(
        volume_intervals=VolumeIntervals((1.0, 1.0, 1.0), level=0.8, cases=4),
        confidence=QualityEstimator(((0.0, 1.0),) * 3, ((0.0, 1.0),) * 3, None),
    )
    complete = make_predictor(bright_is_tumour, settings).predict(images)
    assert all(volume.ml is not None and volume.reason is None for volume in complete.volumes.values())
    del images["t1ce"]
    prediction = make_predictor(bright_is_tumour, settings).predict(images)
    assert prediction.volumes["WT"] == complete.volumes["WT"]
    for region in ("TC", "ET"):
        reason = "cannot be judged without T1ce"
        assert astuple(prediction.volumes[region]) == (None, None, None, None, reason)
        assert prediction.confidence[region] is None
        assert f"{region} {reason}" in prediction.low_confidence_reasons
        assert {
            prediction.numeric_values[f"{region.lower()}_{end}"] for end in ("ml", "low_ml", "confidence")
        } == {None}
    assert prediction.interval_level == 0.8


@pytest.mark.parametrize("how", ["absent", "constant"])
def test_without_flair_the_whole_tumour_is_doubted_even_by_a_model_without_an_estimator(how):
    scan, images = bright_block(np.eye(4))
    if how == "absent":
        del images["flair"]
    else:
        images["flair"] = Volume(np.where(scan > 0, 7, 0).astype(np.int16), images["t1"].grid)
    prediction = make_predictor(bright_is_tumour).predict(images)
    assert prediction.missing == ("flair",)
    assert prediction.low_confidence_reasons == ("WT is uncertain without FLAIR",)
    assert prediction.volumes["WT"].ml is not None
