from dataclasses import dataclass

import numpy as np
import pytest

from glioseg.core.memory import peak_gb
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.cropping import crop_and_normalise, crop_labels, downsample_image, downsample_labels
from glioseg.models.inference.loading import load_model, save_model
from glioseg.models.inference.predictor import Predictor
from glioseg.models.inference.quality_estimation import ExpectedDice
from glioseg.models.selection.calibrate import (
    _one_pass_is_good_enough,
    calibrate_model,
    choose_postprocessing,
)
from glioseg.models.selection.unseen_case import UnseenCase, unseen_cases
from glioseg.params.sections import Inference
from tests.helpers.models import Formula, make_settings

INFERENCE = Inference(
    memory_gb=5,
    overlap=0.5,
    mirror=False,
    threshold=(0.2, 0.5, 0.8),
    min_et_ml=(0.0, 0.002, 0.02),
    min_component_ml=(0.0, 0.002),
)


@dataclass(frozen=True)
class Case:
    """An image whose first three channels are the prediction, and its truth."""

    regions: np.ndarray
    label: np.ndarray

    def open(self, spacing_mm):
        assert spacing_mm == 1
        brain = np.ones((*self.label.shape, 1))
        return np.concatenate([self.regions, brain], axis=-1).astype(np.float16), self.label


def calibrate(models, cases, settings, **options):
    return calibrate_model(unseen_cases(cases, models), settings, calibrated_on="synthetic", **options)


IDENTITY = Formula(lambda batch: batch[..., :3])
SHAPE = (10, 10, 10)


def case(*, truth, predicted):
    """Labels given as {label: slice along the first axis}; probabilities are 0.95 and 0.05."""
    labels = [np.zeros(SHAPE, np.uint8) for _ in range(2)]
    for volume, parts in zip(labels, (truth, predicted), strict=True):
        for value, where in parts.items():
            volume[where] = value
    prediction = labels[1]
    regions = np.stack([prediction > 0, np.isin(prediction, (1, 3)), prediction == 3], axis=-1)
    return Case(np.where(regions, 0.95, 0.05), labels[0])


TUMOUR = {2: np.s_[1:8], 3: np.s_[3:5]}
GOOD = case(truth=TUMOUR, predicted=TUMOUR)


def test_minimum_sizes_remove_false_and_keep_true_parts():
    # A voxel is 0.001 ml: the stray oedema voxel and the 1 false ET voxel are below 0.002 ml, and the
    # 200 true voxels of ET are above 0.02 ml: this size and 0.002 ml give the same Dice, so the larger wins.
    stray = case(
        truth={2: np.s_[1:6]}, predicted={2: np.s_[1:6], 3: np.s_[2, 2, 2:3]} | {1: np.s_[9, 9, 9:10]}
    )
    chosen = calibrate([IDENTITY], [GOOD, stray], make_settings(), inference=INFERENCE, training_cases=[])
    assert (chosen.min_et_ml, chosen.min_component_ml) == (0.02, 0.002)


def test_without_a_gain_the_prediction_is_not_changed():
    chosen = calibrate([IDENTITY], [GOOD], make_settings(), inference=INFERENCE, training_cases=[])
    assert (chosen.min_et_ml, chosen.min_component_ml) == (0.02, 0.0)


@pytest.mark.parametrize(("true", "expected"), [(1.0, 0.2), (0.0, 0.5)])
def test_the_threshold_with_the_best_dice_is_chosen(true, expected):
    """Half of the tumour has probability 0.3; it is all tumour, or none of it."""
    regions = np.full((*SHAPE, 3), 0.02)
    regions[:4], regions[4:8] = 0.6, 0.3
    label = np.zeros(SHAPE, np.uint8)
    label[: 8 if true else 4] = 3
    chosen = calibrate(
        [IDENTITY], [Case(regions, label)], make_settings(), inference=INFERENCE, training_cases=[]
    )
    assert chosen.threshold == expected


def test_temperatures_and_errors_are_computed_over_all_cases():
    # ET: 0.95 in 200 voxels of one case, of which the other case's truth has none: half are right.
    false = case(truth={2: np.s_[1:8]}, predicted=TUMOUR)
    chosen = calibrated([GOOD, false])
    # ET: of 2000 voxels 400 at 0.95 (200 right) and 1600 at 0.05 (none right).
    before = (400 * abs(0.5 - 0.95) + 1600 * 0.05) / 2000
    assert chosen.calibration_error_before[2] == pytest.approx(before, abs=0.002)
    # WT: right everywhere, so its temperature is at the lower bound.
    assert chosen.temperature[0] == pytest.approx(0.1, rel=0.01)
    assert chosen.calibration_error_after[0] < chosen.calibration_error_before[0]
    assert chosen.temperature[2] > 1


def test_settings_are_chosen_for_the_mean_of_an_ensemble():
    """One member predicts 0.9 everywhere, the other 0.3: 0.6 on average. Three voxels in five are tumour."""
    label = np.zeros(SHAPE, np.uint8)
    label[:6] = 3
    scan = Case(np.full((*SHAPE, 3), 0.5), label)
    members = [Formula(lambda batch, p=p: np.full((*batch.shape[:4], 3), p)) for p in (0.9, 0.3)]
    chosen = calibrate(members, [scan], make_settings(), inference=INFERENCE, training_cases=[])
    # Single members are wrong by 0.3, at other temperatures. Dice is best with all voxels tumour: up to 0.5.
    assert chosen.calibration_error_before == pytest.approx((0, 0, 0), abs=0.003)
    assert chosen.temperature == pytest.approx((1, 1, 1), abs=0.05)
    assert chosen.threshold == 0.5
    # The first member alone would expect a Dice of 2 · 0.9 / 1.9 = 0.95; the true Dice is 0.75.
    expected = chosen.confidence.estimate_dice(ExpectedDice(np.full(3, 0.75), np.zeros(3, bool)))
    assert list(expected.values()) == pytest.approx([0.75] * 3, abs=0.05)


def test_each_case_is_predicted_by_the_networks_that_have_not_seen_it():
    """Three voxels in five are tumour; one fold's network predicts 0.9 everywhere, the other's 0.3."""
    label = np.zeros(SHAPE, np.uint8)
    label[:6] = 3
    scan = Case(np.full((*SHAPE, 3), 0.5), label)
    folds = [Formula(lambda batch, p=p: np.full((*batch.shape[:4], 3), p)) for p in (0.9, 0.3)]
    cases = [UnseenCase(scan, [network]) for network in folds]
    chosen = calibrate_model(
        cases, make_settings(), inference=INFERENCE, training_cases=[], calibrated_on="real"
    )
    # Each is wrong by 0.3; their mean, 0.6, would be right.
    assert chosen.calibration_error_before == pytest.approx((0.3, 0.3, 0.3), abs=0.003)


def test_one_pass_needs_memory_for_all_members():
    budget = peak_gb(SHAPE, base_filters=2, networks=1)
    for count, compared in ((1, True), (2, False)):
        networks = [right_for_edge(10) for _ in range(count)]
        assert _one_pass_is_good_enough(unseen_cases([GOOD], networks), make_settings(memory_gb=budget))
        assert [bool(network.shapes) for network in networks] == [compared] * count


def calibrated(cases, settings=None, inference=INFERENCE):
    return calibrate([IDENTITY], cases, settings or make_settings(), inference=inference, training_cases=[])


def test_the_interval_of_few_cases_covers_all_of_them_at_a_lower_level():
    """In one case of seven, 100 voxels of whole tumour have probability 0.3."""
    regions = np.full((*SHAPE, 3), 0.02)
    regions[:5], regions[5, :, :, 0] = 0.98, 0.3
    half, more = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    half[:5], more[:5], more[5] = 3, 3, 2
    cases = [Case(regions, label) for label in (more, *[half] * 6)]
    intervals = calibrated(cases).volume_intervals
    # A voxel is 0.001 ml: 0.5 ml are predicted, 0.6 ml are true. 0.98 and 0.3 are certain and possible, so
    # the uncertainty has its minimum, whatever temperature the other cases choose.
    assert intervals.half_width[0] == pytest.approx(np.log(1.6 / 1.5) / 0.1)
    # TC and ET are right to the voxel.
    assert intervals.half_width[1:] == (0.0, 0.0)
    assert (intervals.level, intervals.cases) == (7 / 8, 7)


def test_fewer_than_four_cases_give_no_interval():
    assert calibrated([GOOD] * 3).volume_intervals is None
    assert calibrated([GOOD] * 4).volume_intervals.level == 0.8


def test_a_case_is_scored_with_the_settings_that_the_others_choose():
    """One case has 0.3 ml of enhancing tumour; in three others 0.1 ml of core is predicted as enhancing."""
    sizes = INFERENCE.model_copy(update={"threshold": (0.5,), "min_et_ml": (0.0, 0.2, 0.4)})
    true = case(truth={3: np.s_[1:4]}, predicted={3: np.s_[1:4]})
    false = case(truth={1: np.s_[1:2]}, predicted={3: np.s_[1:2]})
    chosen = calibrated([true, false, false, false], inference=sizes)
    # 0.2 ml is right for all. The three others alone choose the larger of two equally good sizes, 0.4 ml,
    # which removes the 0.3 ml; all voxels are certain, so the uncertainty has its minimum.
    assert chosen.min_et_ml == 0.2
    assert chosen.volume_intervals.half_width == (0.0, 0.0, pytest.approx(np.log(1.3) / 0.1))


@dataclass(frozen=True)
class Scanned:
    """A scan, and the cropped case that the store makes of it."""

    images: dict
    image: np.ndarray
    label: np.ndarray

    def open(self, spacing_mm):
        return downsample_image(self.image, spacing_mm), downsample_labels(self.label, spacing_mm)


def plate():
    """A brain of 22 mm with a bright plate of 3 mm, enhancing tumour that a grid of 2 mm cannot represent."""
    scan, truth = np.zeros((24, 24, 24), np.int16), np.zeros((24, 24, 24), np.uint8)
    scan[1:23, 1:23, 1:23] = 10
    scan[6:9, 5:19, 5:19], truth[6:9, 5:19, 5:19] = 100, 3
    images = {name: Volume(scan, Grid(scan.shape, np.diag([-1.0, -1, 1, 1]))) for name in MODALITIES}
    image, placement = crop_and_normalise(images, margin_vox=0)
    return Scanned(images, image, crop_labels(truth, placement))


def test_intervals_are_fitted_where_they_are_applied():
    """Four equal cases: the interval of their prediction just contains the true volume."""
    network = Formula(lambda batch: np.where(batch[..., :3] > 1, 0.97, 0.03))
    untuned = make_settings(spacing_mm=2, margin_vox=0)
    inference = INFERENCE.model_copy(update={"threshold": (0.5,)})
    chosen = calibrate([network], [plate()] * 4, untuned, inference=inference, training_cases=[])
    prediction = Predictor((network,), chosen).predict(plate().images)
    true_ml = 3 * 14 * 14 / 1000
    for volume in prediction.volumes.values():
        assert volume.ml != pytest.approx(true_ml, rel=0.05)
        end = volume.low_ml if volume.ml > true_ml else volume.high_ml
        assert end == pytest.approx(true_ml, rel=2e-3)


def test_the_quality_estimator_is_fitted_on_sound_and_corrupted_scans(toys):
    """The network is right on sound scans, so a high expected Dice stays high."""
    chosen = calibrate([IDENTITY], [GOOD] * 2, make_settings(), inference=INFERENCE, training_cases=toys[:3])
    assert chosen.confidence.out_of_distribution is None  # three cases are too few
    sure = ExpectedDice(np.array([0.95, 0.95, 0.95]), np.zeros(3, bool))
    unsure = ExpectedDice(np.array([0.3, 0.3, 0.3]), np.zeros(3, bool))
    for region, dice in chosen.confidence.estimate_dice(sure).items():
        assert dice > 0.6
        assert dice > chosen.confidence.estimate_dice(unsure)[region]
    again = calibrate([IDENTITY], [GOOD] * 2, make_settings(), inference=INFERENCE, training_cases=toys[:3])
    assert again == chosen


def right_for_edge(edge):
    """A network that is right for grids with an edge of this length, and wrong everywhere for others."""
    return Formula(lambda batch: batch[..., :3] if batch.shape[1] == edge else 1 - batch[..., :3])


@pytest.mark.parametrize(("edge", "at_once"), [(10, True), (8, False)])
def test_one_pass_is_chosen_unless_windows_are_better(edge, at_once):
    settings = make_settings(window_shape=(8, 8, 8))  # a crop is 10 voxels long
    chosen = calibrate([right_for_edge(edge)], [GOOD], settings, inference=INFERENCE, training_cases=[])
    assert chosen.one_pass is at_once
    # The later choices use the right predictions.
    assert chosen.calibration_error_before == pytest.approx((0.05, 0.05, 0.05), abs=0.002)


@pytest.mark.parametrize("changes", [{"window_shape": (10, 10, 10)}, {"memory_gb": 1.0}])
def test_if_only_one_kind_of_pass_is_possible_nothing_is_compared(changes):
    network = right_for_edge(10)
    assert _one_pass_is_good_enough(unseen_cases([GOOD], [network]), make_settings(**changes))
    assert network.shapes == []


def test_a_trained_network_with_all_outputs_is_calibrated_saved_and_predicts(toys, tmp_path):
    from glioseg.models.networks.unet import build_unet, without_deep_supervision

    network = build_unet(
        architecture="nnunet",
        base_filters=2,
        depth=3,
        dropout=0.0,
        heads="plain",
        deep_supervision="loss",
        outputs=("segmentation", "grade", "survival"),
    )
    settings = make_settings(multiple=4, mirror=True)
    calibrated = calibrate([network] * 2, toys[:3], settings, inference=INFERENCE, training_cases=toys[3:])
    assert calibrated.calibration_error_after is not None
    save_model(tmp_path, [without_deep_supervision(network)] * 2, calibrated)
    scan = np.zeros((9, 10, 8), np.int16)
    scan[1:8, 1:9, 1:7] = np.random.default_rng(0).integers(1, 99, (7, 8, 6))
    prediction = load_model(tmp_path).predict({"flair": Volume(scan, Grid(scan.shape, np.eye(4)))})
    assert prediction.labels.shape == scan.shape
    assert not prediction.labels[scan == 0].any()
    assert 0 < prediction.grade_lgg < 1
    assert np.isfinite(prediction.survival_days)
    assert calibrated.volume_intervals is None  # three cases are too few
    assert [volume.level for volume in prediction.volumes.values()] == [None] * 3


def test_the_best_postprocessing_is_chosen():
    dice = np.array([[[0.5, 0.6, 0.5], [0.5, 0.7, 0.5]], [[0.5, 0.6, 0.5], [0.5, 0.6, 0.5]]])
    assert choose_postprocessing(dice, thresholds=(0.3, 0.5), components=(0.0, 0.1), ets=(0.0, 0.2, 0.4)) == (
        0.3,
        0.1,
        0.2,
    )


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], (0.0, 0.2)),  # all equal: the larger ET size, the smaller component
        ([[0.4, 0.4], [0.5, 0.5]], (0.1, 0.2)),
        ([[0.5, 0.4], [0.4, 0.5]], (0.1, 0.2)),  # ET's size decides first
    ],
)
def test_ties_between_postprocessing_choices(dice, expected):
    both = np.array([dice, dice, dice])
    chosen = choose_postprocessing(both, thresholds=(0.3, 0.4, 0.7), components=(0.0, 0.1), ets=(0.0, 0.2))
    assert chosen == (0.4, *expected)
