from dataclasses import dataclass

import numpy as np
import pytest

from glioseg.core.memory import peak_gb
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.store.cropping import crop_images, crop_labels
from glioseg.data.store.resolution import coarse_image, coarse_labels
from glioseg.models.inference.predictor import Segmenter, load_model, save_model
from glioseg.models.inference.quality_estimation import Belief
from glioseg.models.selection.calibrate import _one_pass_will_do, calibrate_model
from glioseg.models.selection.corruption_study import MOST_CASES, learn_confidence
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
    """An image whose first three channels are the answer, and its truth."""

    regions: np.ndarray
    label: np.ndarray

    def open(self, spacing_mm):
        assert spacing_mm == 1
        brain = np.ones((*self.label.shape, 1))
        return np.concatenate([self.regions, brain], axis=-1).astype(np.float16), self.label


ANSWER = Formula(lambda batch: batch[..., :3])
SHAPE = (10, 10, 10)


def case(*, truth, answer):
    """Labels given as {label: slice along the first axis}; the answer is 0.95 or 0.05 sure."""
    labels = [np.zeros(SHAPE, np.uint8) for _ in range(2)]
    for volume, parts in zip(labels, (truth, answer), strict=True):
        for value, where in parts.items():
            volume[where] = value
    said = labels[1]
    regions = np.stack([said > 0, np.isin(said, (1, 3)), said == 3], axis=-1)
    return Case(np.where(regions, 0.95, 0.05), labels[0])


TUMOUR = {2: np.s_[1:8], 3: np.s_[3:5]}
GOOD = case(truth=TUMOUR, answer=TUMOUR)


def test_sizes_drop_what_is_false_and_keep_what_is_true():
    # A voxel is 0.001 ml: the stray oedema voxel and the 1 false ET voxel are below 0.002 ml, and the
    # 200 true voxels of ET are above 0.02 ml: that size and 0.002 ml do as well, so the larger counts.
    stray = case(truth={2: np.s_[1:6]}, answer={2: np.s_[1:6], 3: np.s_[2, 2, 2:3]} | {1: np.s_[9, 9, 9:10]})
    chosen = calibrate_model([ANSWER], [GOOD, stray], make_settings(), inference=INFERENCE, learned=[])
    assert (chosen.min_et_ml, chosen.min_component_ml) == (0.02, 0.002)


def test_where_nothing_helps_the_answer_stays_as_it_is():
    chosen = calibrate_model([ANSWER], [GOOD], make_settings(), inference=INFERENCE, learned=[])
    assert (chosen.min_et_ml, chosen.min_component_ml) == (0.02, 0.0)


@pytest.mark.parametrize(("true", "expected"), [(1.0, 0.2), (0.0, 0.5)])
def test_the_threshold_is_that_with_the_best_dice(true, expected):
    """Half of the tumour has probability 0.3; it is all tumour, or none of it."""
    regions = np.full((*SHAPE, 3), 0.02)
    regions[:4], regions[4:8] = 0.6, 0.3
    label = np.zeros(SHAPE, np.uint8)
    label[: 8 if true else 4] = 3
    chosen = calibrate_model(
        [ANSWER], [Case(regions, label)], make_settings(), inference=INFERENCE, learned=[]
    )
    assert chosen.threshold == expected


def test_temperatures_and_errors_are_those_of_all_cases():
    # ET: 0.95 in 200 voxels of one case, of which the other case's truth has none: half are right.
    false = case(truth={2: np.s_[1:8]}, answer=TUMOUR)
    chosen = calibrated([GOOD, false])
    # ET: of 2000 voxels 400 at 0.95 (200 right) and 1600 at 0.05 (none right).
    before = (400 * abs(0.5 - 0.95) + 1600 * 0.05) / 2000
    assert chosen.calibration_error_before[2] == pytest.approx(before, abs=0.002)
    # WT: right everywhere, so that it is sharpened as far as may be.
    assert chosen.temperature[0] == pytest.approx(0.1, rel=0.01)
    assert chosen.calibration_error_after[0] < chosen.calibration_error_before[0]
    assert chosen.temperature[2] > 1


def test_all_is_chosen_for_the_mean_of_an_ensemble():
    """One member says 0.9 everywhere, the other 0.3: on average 0.6, and three voxels in five are tumour."""
    label = np.zeros(SHAPE, np.uint8)
    label[:6] = 3
    scan = Case(np.full((*SHAPE, 3), 0.5), label)
    members = [Formula(lambda batch, p=p: np.full((*batch.shape[:4], 3), p)) for p in (0.9, 0.3)]
    chosen = calibrate_model(members, [scan], make_settings(), inference=INFERENCE, learned=[])
    # Alone they are off by 0.3, and have other temperatures; Dice is best where all is tumour: up to 0.5.
    assert chosen.calibration_error_before == pytest.approx((0, 0, 0), abs=0.003)
    assert chosen.temperature == pytest.approx((1, 1, 1), abs=0.05)
    assert chosen.threshold == 0.5
    # The sure member alone would believe a Dice of 2 · 0.9 / 1.9 = 0.95, which is 0.75.
    expected = chosen.confidence.expected_dice(Belief(np.full(3, 0.75), np.zeros(3, bool)))
    assert list(expected.values()) == pytest.approx([0.75] * 3, abs=0.05)


def test_all_members_must_fit_the_memory_for_one_pass():
    budget = peak_gb(SHAPE, base_filters=2, networks=1)
    for count, compared in ((1, True), (2, False)):
        networks = [shaken_by(10) for _ in range(count)]
        assert _one_pass_will_do(networks, [GOOD], make_settings(memory_gb=budget))
        assert [bool(network.shapes) for network in networks] == [compared] * count


def calibrated(cases, settings=None, inference=INFERENCE):
    return calibrate_model([ANSWER], cases, settings or make_settings(), inference=inference, learned=[])


def test_of_few_cases_the_interval_holds_all_and_says_how_much_that_promises():
    """In one case of seven, 100 voxels are whole tumour to which the answer gives 0.3."""
    regions = np.full((*SHAPE, 3), 0.02)
    regions[:5], regions[5, :, :, 0] = 0.98, 0.3
    half, more = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    half[:5], more[:5], more[5] = 3, 3, 2
    cases = [Case(regions, label) for label in (more, *[half] * 6)]
    found = calibrated(cases).volume_intervals
    # A voxel is 0.001 ml: 0.5 ml are found, 0.6 ml are there. 0.98 and 0.3 are sure and possible, so that
    # the doubt is below the least one, whatever temperature the other cases choose.
    assert found.half_width[0] == pytest.approx(np.log(1.6 / 1.5) / 0.1)
    # TC and ET are right to the voxel.
    assert found.half_width[1:] == (0.0, 0.0)
    assert (found.level, found.cases) == (7 / 8, 7)


def test_fewer_than_four_cases_give_no_interval():
    assert calibrated([GOOD] * 3).volume_intervals is None
    assert calibrated([GOOD] * 4).volume_intervals.level == 0.8


def test_a_case_is_scored_with_what_the_others_choose():
    """One case has 0.3 ml of enhancing tumour; in three others 0.1 ml of core is taken for it."""
    sizes = INFERENCE.model_copy(update={"threshold": (0.5,), "min_et_ml": (0.0, 0.2, 0.4)})
    true = case(truth={3: np.s_[1:4]}, answer={3: np.s_[1:4]})
    false = case(truth={1: np.s_[1:2]}, answer={3: np.s_[1:2]})
    chosen = calibrated([true, false, false, false], inference=sizes)
    # 0.2 ml is right for all. The three others alone take the larger of two sizes that do as well, 0.4 ml,
    # by which the 0.3 ml are none; the answer is sure, so the doubt is the least one.
    assert chosen.min_et_ml == 0.2
    assert chosen.volume_intervals.half_width == (0.0, 0.0, pytest.approx(np.log(1.3) / 0.1))


@dataclass(frozen=True)
class Scanned:
    """A scan, and the cropped case that the store makes of it."""

    images: dict
    image: np.ndarray
    label: np.ndarray

    def open(self, spacing_mm):
        return coarse_image(self.image, spacing_mm), coarse_labels(self.label, spacing_mm)


def plate():
    """A brain of 22 mm with a bright plate of 3 mm, enhancing tumour that no grid of 2 mm can hold."""
    scan, truth = np.zeros((24, 24, 24), np.int16), np.zeros((24, 24, 24), np.uint8)
    scan[1:23, 1:23, 1:23] = 10
    scan[6:9, 5:19, 5:19], truth[6:9, 5:19, 5:19] = 100, 3
    images = {name: Volume(scan, Grid(scan.shape, np.diag([-1.0, -1, 1, 1]))) for name in MODALITIES}
    image, placement = crop_images(images, margin_vox=0)
    return Scanned(images, image, crop_labels(truth, placement))


def test_intervals_are_fitted_where_they_are_applied():
    """Four cases that are the same: the interval of the case's own answer just reaches to its truth."""
    network = Formula(lambda batch: np.where(batch[..., :3] > 1, 0.97, 0.03))
    untuned = make_settings(spacing_mm=2, margin_vox=0)
    inference = INFERENCE.model_copy(update={"threshold": (0.5,)})
    chosen = calibrate_model([network], [plate()] * 4, untuned, inference=inference, learned=[])
    answer = Segmenter((network,), chosen).answer(plate().images)
    true_ml = 3 * 14 * 14 / 1000
    for volume in answer.volumes.values():
        assert volume.ml != pytest.approx(true_ml, rel=0.05)
        end = volume.low_ml if volume.ml > true_ml else volume.high_ml
        assert end == pytest.approx(true_ml, rel=2e-3)


def test_confidence_is_learned_from_sound_and_spoilt_scans(toys):
    """A network that is right wherever the scan is sound: what is promised is kept, or nearly so."""
    chosen = calibrate_model([ANSWER], [GOOD] * 2, make_settings(), inference=INFERENCE, learned=toys[:3])
    assert chosen.confidence.likeness is None  # three cases do not tell what training is like
    sure = Belief(np.array([0.95, 0.95, 0.95]), np.zeros(3, bool))
    unsure = Belief(np.array([0.3, 0.3, 0.3]), np.zeros(3, bool))
    for region, dice in chosen.confidence.expected_dice(sure).items():
        assert dice > 0.6
        assert dice > chosen.confidence.expected_dice(unsure)[region]
    again = calibrate_model([ANSWER], [GOOD] * 2, make_settings(), inference=INFERENCE, learned=toys[:3])
    assert again == chosen


def test_likeness_is_learned_from_cases_chosen_evenly(toys):
    learned = [toys[number % 5] for number in range(200)]
    opened = []

    class Watched:
        def __init__(self, number):
            self.number = number

        def open(self, spacing_mm):
            opened.append(self.number)
            return learned[self.number].open(spacing_mm)

    known = learn_confidence(
        [ANSWER], [GOOD], make_settings(), learned=[Watched(number) for number in range(200)]
    ).likeness
    assert len(opened) == MOST_CASES
    assert (opened[0], opened[-1]) == (0, 199)
    assert known.always == MODALITIES
    assert known.limit > 0


def shaken_by(edge):
    """A network that is right where the grid has an edge of this length, and else says the opposite."""
    return Formula(lambda batch: batch[..., :3] if batch.shape[1] == edge else 1 - batch[..., :3])


@pytest.mark.parametrize(("edge", "at_once"), [(10, True), (8, False)])
def test_a_crop_is_seen_at_once_unless_windows_are_better(edge, at_once):
    settings = make_settings(window_shape=(8, 8, 8))  # a crop is 10 voxels long
    chosen = calibrate_model([shaken_by(edge)], [GOOD], settings, inference=INFERENCE, learned=[])
    assert chosen.one_pass is at_once
    # What is chosen after that is chosen of the right answers.
    assert chosen.calibration_error_before == pytest.approx((0.05, 0.05, 0.05), abs=0.002)


@pytest.mark.parametrize("changes", [{"window_shape": (10, 10, 10)}, {"memory_gb": 1.0}])
def test_where_only_one_way_is_possible_nothing_is_compared(changes):
    network = shaken_by(10)
    assert _one_pass_will_do([network], [GOOD], make_settings(**changes))
    assert network.shapes == []


def test_a_trained_network_with_all_its_outputs_is_calibrated_is_saved_and_answers(toys, tmp_path):
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
    calibrated = calibrate_model([network] * 2, toys[:3], settings, inference=INFERENCE, learned=toys[3:])
    assert calibrated.calibration_error_after is not None
    save_model(tmp_path, [without_deep_supervision(network)] * 2, calibrated)
    scan = np.zeros((9, 10, 8), np.int16)
    scan[1:8, 1:9, 1:7] = np.random.default_rng(0).integers(1, 99, (7, 8, 6))
    answer = load_model(tmp_path).answer({"flair": Volume(scan, Grid(scan.shape, np.eye(4)))})
    assert answer.labels.shape == scan.shape
    assert not answer.labels[scan == 0].any()
    assert 0 < answer.grade_lgg < 1
    assert np.isfinite(answer.survival_days)
    assert calibrated.volume_intervals is None  # of three cases
    assert [volume.level for volume in answer.volumes.values()] == [None] * 3
