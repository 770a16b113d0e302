import zipfile
from dataclasses import astuple, replace

import numpy as np
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.models.inference.model_settings import VolumeIntervals
from glioseg.models.inference.out_of_distribution import FEATURES, Likeness
from glioseg.models.inference.prediction import NUMBERS
from glioseg.models.inference.predictor import (
    Segmenter,
    ensemble_settings,
    load_ensemble,
    load_model,
    save_model,
)
from glioseg.models.inference.quality_estimation import Confidence
from glioseg.models.networks.keras_file import ModelError
from glioseg.models.networks.weight_transfer import take_weights
from glioseg.params.contract import CONTRACT, Contract, Spacing
from tests.helpers.models import Formula, make_settings

COARSE = Contract(spacing=Spacing(severity="critical", predict="warning", mm=(2.0, 2.0, 2.0)))
"""Of a model whose training had voxels of 2 mm."""


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


def segmenter(segmentation, settings=None, **outcomes):
    return Segmenter((Formula(segmentation, **outcomes),), settings or make_settings())


@pytest.mark.parametrize("affine", [np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1, 1])])
def test_labels_come_back_on_the_scan_s_own_grid(affine):
    scan, images = bright_block(affine)
    answer = segmenter(bright_is_tumour, make_settings(multiple=4)).answer(images)
    np.testing.assert_array_equal(answer.labels, np.where(scan == 100, 3, 0))
    np.testing.assert_array_equal(
        segmenter(bright_is_tumour, make_settings(multiple=4)).segment(images), answer.labels
    )


@pytest.mark.parametrize("spacing_mm", [1, 2])
def test_nothing_is_tumour_nor_unsure_outside_the_brain(spacing_mm):
    scan = np.zeros((6, 6, 6), np.int16)
    scan[1:5, 1:5, 1:5] = np.arange(64).reshape(4, 4, 4) + 1
    images = {name: Volume(scan, Grid(scan.shape, np.eye(4))) for name in MODALITIES}
    everywhere = segmenter(constant(0.75, 0.5, 0.25), make_settings(spacing_mm=spacing_mm))
    answer = everywhere.answer(images)
    np.testing.assert_array_equal(answer.labels, np.where(scan > 0, 1, 0))
    np.testing.assert_allclose(answer.entropy_bits, np.where(scan > 0, 2.0, 0.0), atol=1e-6)
    assert answer.entropy_bits.dtype == np.float32


def test_volumes_are_those_of_the_labels_on_the_scan_s_own_grid():
    _, images = bright_block(np.diag([2.0, 2, 2, 1]))
    answer = replace(segmenter(bright_is_tumour), contract=COARSE).answer(images)
    # 8 voxels of 8 mm³.
    for volume in answer.volumes.values():
        assert astuple(volume) == (pytest.approx(0.064), None, None, None)
    assert answer.interval_level is None
    assert (answer.numbers["wt_low_ml"], answer.numbers["interval_level"]) == (None, None)


def test_probabilities_are_calibrated_and_lie_on_the_scan_s_own_grid():
    scan, images = bright_block(np.diag([1.0, 1, 2, 1]))
    network = segmenter(constant(0.9, 0.5, 0.0), make_settings(temperature=(2.0, 1.0, 1.0)))
    # ln 9 / 2 = ln 3, whose probability is 3/4.
    expected = np.where(scan[..., None] > 0, np.float32([0.75, 0.5, 0.0]), 0)
    np.testing.assert_allclose(network.answer(images).probabilities.on_grid(), expected, atol=1e-6)


def test_numbers_are_a_row_of_a_table():
    _, images = bright_block(np.diag([1.0, 1, 2, 1]))
    answer = segmenter(constant(0.75, 0.5, 0.0), grade=0.25).answer(images)
    row = answer.numbers
    assert tuple(row) == NUMBERS
    assert (row["tc_ml"], row["et_ml"], row["grade_lgg"]) == pytest.approx((0.36, 0.0, 0.25))  # 180 voxels
    # A quarter is background, a quarter oedema, half core: 1.5 bits.
    assert (row["brain_bits"], row["wt_bits"]) == pytest.approx((1.5, 1.5), abs=1e-5)
    assert row["et_bits"] is None
    assert row["survival_days"] is None


def test_the_interval_is_that_of_calibrated_probabilities():
    _, images = bright_block(np.eye(4))
    intervals = VolumeIntervals((1.0, 1.0, 1.0), level=0.8, cases=4)
    settings = make_settings(temperature=(2.0, 1.0, 1.0), volume_intervals=intervals)
    answer = segmenter(constant(0.95, 0.95, 0.0), settings).answer(images)
    # All 180 voxels, 0.18 ml. WT: ln 19 / 2 gives 0.81, so none is sure, and the doubt is ln 1.18.
    wt, tc = answer.volumes["WT"], answer.volumes["TC"]
    assert (wt.ml, wt.low_ml, wt.high_ml) == pytest.approx((0.18, 0.0, 0.18), abs=1e-6)
    assert (wt.level, answer.interval_level, answer.numbers["interval_level"]) == (0.8, 0.8, 0.8)
    # TC stays sure everywhere: the least doubt, 0.1. More than the brain it cannot be.
    assert (tc.ml, tc.low_ml, tc.high_ml) == pytest.approx((0.18, 1.18 * np.exp(-0.1) - 1, 0.18))


def test_the_confidence_is_that_of_calibrated_probabilities():
    _, images = bright_block(np.eye(4))
    likeness = Likeness((0.0,) * len(FEATURES), (1.0,) * len(FEATURES), 50.0, ())
    known = Confidence(((0.0, 1.0),) * 3, ((0.0, 1.0),) * 3, likeness)
    settings = make_settings(temperature=(2.0, 1.0, 1.0), confidence=known)
    answer = segmenter(constant(0.9, 0.75, 0.0), settings).answer(images)
    # ln 9 / 2 = ln 3, whose probability is 3/4, everywhere in the brain: 2 · ¾ / (¾ + 1); ET is as TC.
    assert answer.confidence == pytest.approx(dict.fromkeys(("WT", "TC", "ET"), 6 / 7))
    assert (answer.numbers["et_confidence"], answer.doubt) == (pytest.approx(6 / 7), ())
    strict = replace(settings, confidence=replace(known, likeness=replace(likeness, limit=0.1)))
    (doubt,) = segmenter(constant(0.9, 0.75, 0.0), strict).answer(images).doubt
    assert doubt.startswith("unlike its training: ")


def test_a_model_that_has_not_learned_to_doubt_has_no_confidence():
    _, images = bright_block(np.eye(4))
    answer = segmenter(bright_is_tumour).answer(images)
    assert (answer.confidence, answer.doubt, answer.numbers["wt_confidence"]) == ({}, (), None)


def test_any_modality_may_be_missing_and_it_says_which():
    scan, images = bright_block(np.eye(4))
    del images["t1ce"], images["flair"]
    seen = []

    def look(batch):
        seen.append(batch.any(axis=(0, 1, 2, 3)).tolist())
        return bright_is_tumour(batch)

    answer = segmenter(look).answer(images)
    assert answer.missing == ("t1ce", "flair")
    assert seen == [[True, False, True, False]]
    np.testing.assert_array_equal(answer.labels, np.where(scan == 100, 3, 0))
    with pytest.raises(GliosegError, match="no modality: expected at least one of t1, t1ce, t2, flair"):
        segmenter(look).answer({})


def test_a_constant_scan_is_brain_too():
    """Its z-score is 0 everywhere, as outside the brain."""
    scan = np.zeros((4, 4, 4), np.int16)
    scan[1:3, 1:3, 1:3] = 7
    answer = segmenter(constant(1, 1, 1)).answer({"t1": Volume(scan, Grid(scan.shape, np.eye(4)))})
    np.testing.assert_array_equal(answer.labels, np.where(scan > 0, 3, 0))


def test_outcomes_are_none_or_in_their_units():
    _, images = bright_block(np.eye(4))
    answer = segmenter(bright_is_tumour).answer(images)
    assert (answer.grade_lgg, answer.survival_days) == (None, None)
    answer = segmenter(bright_is_tumour, grade=0.25, survival=2.0).answer(images)
    assert (answer.grade_lgg, answer.survival_days) == (0.25, 730.5)  # a year has 365.25 days


def test_members_are_averaged():
    _, images = bright_block(np.eye(4))
    pair = (Formula(constant(0.9, 0.2, 0.2)), Formula(constant(0.2, 0.2, 0.2)))
    # Their mean is 0.55: whole tumour everywhere in the brain.
    assert (Segmenter(pair, make_settings()).segment(images) == 2).sum() == 180


def test_an_enhancing_speck_is_taken_for_core_and_a_small_piece_for_background():
    scan, images = bright_block(np.diag([2.0, 2, 2, 1]))
    # 8 voxels of 8 mm³ are 0.064 ml.
    for sizes, label in (
        ({"min_et_ml": 0.064}, 3),
        ({"min_et_ml": 0.065}, 1),
        ({"min_component_ml": 0.064}, 3),
        ({"min_component_ml": 0.065}, 0),
    ):
        known = replace(segmenter(bright_is_tumour, make_settings(**sizes)), contract=COARSE)
        labels = known.segment(images)
        np.testing.assert_array_equal(labels, np.where(scan == 100, label, 0))


@pytest.mark.parametrize(("spacing_mm", "voxel_ml"), [(1.0, 0.001), (2.0, 0.002), (0.5, 0.0005)])
def test_sizes_are_in_the_voxels_of_the_scan_where_it_is_resampled_too(spacing_mm, voxel_ml):
    scan, images = bright_block(np.diag([1.0, 1, spacing_mm, 1]))
    whole_ml = 180 * voxel_ml  # all of the brain enhances
    for sizes, label in (
        ({"min_et_ml": 0.99 * whole_ml}, 3),
        ({"min_et_ml": 1.01 * whole_ml}, 1),
        ({"min_component_ml": 1.01 * whole_ml}, 0),
    ):
        answer = segmenter(constant(1, 1, 1), make_settings(**sizes)).answer(images)
        np.testing.assert_array_equal(answer.labels, np.where(scan > 0, label, 0))
        assert answer.volumes["WT"].ml == pytest.approx(whole_ml if label else 0)


@pytest.fixture(scope="module")
def networks():
    """Two Keras networks of one number each: σ(bias) everywhere."""
    import keras

    def make(bias):
        image = keras.Input((None, None, None, 4))
        layer = keras.layers.Conv3D(3, 1, activation="sigmoid", kernel_initializer="zeros")
        network = keras.Model(image, {"segmentation": layer(image)})
        layer.bias.assign(np.full(3, bias))
        return network

    return make(0.0), make(np.log(3.0))


def mean_probability(loaded):
    grid = np.zeros((1, 4, 4, 4, 4), np.float32)
    return np.mean([np.asarray(model.predict_on_batch(grid)["segmentation"]) for model in loaded.models])


def test_a_model_folder_holds_all_members(networks, tmp_path):
    settings = make_settings(temperature=(1.5, 1.0, 0.5), calibration_error_before=(0.1, 0.2, 0.3))
    save_model(tmp_path, networks, settings)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model_1.keras", "settings.json"}
    loaded = load_model(tmp_path)
    assert loaded.settings == settings
    assert mean_probability(loaded) == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_folders_make_an_ensemble(networks, tmp_path):
    first = make_settings(window_shape=(20, 20, 20), multiple=4, min_et_ml=0.5, modality_dropout=0.2)
    second = make_settings(multiple=8, base_filters=16, min_et_ml=0.1, margin_vox=3)
    for name, settings in {"one": first, "two": second}.items():
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, [networks[name == "two"]], settings)
    loaded = load_ensemble([tmp_path / "one", tmp_path / "two"])
    assert mean_probability(loaded) == pytest.approx(0.625)
    # What suits both: 24 is the next multiple of 8, and memory is reckoned for 16 filters in float32.
    needs = {"window_shape": (24, 24, 24), "multiple": 8, "base_filters": 16, "modality_dropout": 0.0}
    assert loaded.settings == replace(first, **needs)
    (tmp_path / "one" / "contract.yaml").write_text("affine: {tolerance: 0.01}\n")
    assert load_ensemble([tmp_path / "one", tmp_path / "two"]).contract.affine.tolerance == 0.01
    assert load_model(tmp_path / "one").contract.affine.tolerance == 0.01
    assert load_model(tmp_path / "two").contract == Contract()
    assert load_ensemble([tmp_path / "one"]).settings == first


def test_an_ensemble_of_folders_has_no_intervals_since_nobody_calibrated_it(tmp_path):
    calibrated = make_settings(volume_intervals=VolumeIntervals((1.0, 1.0, 1.0), level=0.9, cases=19))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        calibrated.save(tmp_path / name)
    assert ensemble_settings([tmp_path / "one"]).volume_intervals == calibrated.volume_intervals
    assert ensemble_settings([tmp_path / "one", tmp_path / "two"]).volume_intervals is None


def test_the_contract_of_a_model_says_which_spacing_its_training_had(networks, tmp_path):
    for name, mm in {"one": [1, 1, 2.5], "two": [1, 1, 1]}.items():
        (folder := tmp_path / name).mkdir()
        save_model(folder, [networks[0]], make_settings(multiple=4))
        (folder / CONTRACT).write_text(f"spacing: {{mm: {mm}}}")
    assert load_model(tmp_path / "one").contract.spacing.mm == (1, 1, 2.5)
    assert load_ensemble([tmp_path / "one"]).contract.spacing.mm == (1, 1, 2.5)
    expected = r"two: expected contract spacing \(1.0, 1.0, 2.5\), as in .*one, got \(1.0, 1.0, 1.0\)"
    with pytest.raises(ModelError, match=expected):
        load_ensemble([tmp_path / "one", tmp_path / "two"])


@pytest.mark.parametrize(("name", "value"), [("spacing_mm", 2), ("target", "labels")])
def test_networks_that_see_different_things_are_no_ensemble(tmp_path, name, value):
    for folder, changes in (("one", {}), ("two", {name: value})):
        (tmp_path / folder).mkdir()
        make_settings(**changes).save(tmp_path / folder)
    expected = f"two: expected {name} {getattr(make_settings(), name)}, as in .*one, got {value}"
    with pytest.raises(ModelError, match=expected):
        load_ensemble([tmp_path / "one", tmp_path / "two"])


def test_a_folder_without_a_network_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere/settings.json: not a model's settings"):
        load_model(tmp_path / "nowhere")
    make_settings().save(tmp_path)
    with pytest.raises(ModelError, match=r"model.keras: not a Keras model"):
        load_model(tmp_path)


def test_members_are_read_in_the_order_of_their_numbers(networks, tmp_path):
    save_model(tmp_path, [networks[0]] * 10 + [networks[1]], make_settings())
    loaded = load_model(tmp_path).models
    assert [mean_probability(Segmenter((model,), make_settings())) for model in loaded] == pytest.approx(
        [0.5] * 10 + [0.75]
    )


@pytest.mark.parametrize("lacks", ["config.json", "model.weights.h5", "a right checksum"])
def test_a_network_that_lacks_a_part_is_named(networks, tmp_path, lacks):
    save_model(tmp_path, networks[:1], make_settings())
    file = tmp_path / "model.keras"
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist() if name != lacks}
    with zipfile.ZipFile(file, "w") as cut:
        for name, content in parts.items():
            cut.writestr(name, content)
    if lacks == "a right checksum":
        weights = parts["model.weights.h5"]
        file.write_bytes(file.read_bytes().replace(weights, weights[:-1] + bytes([weights[-1] ^ 255])))
    for load in (lambda: load_model(tmp_path), lambda: take_weights(networks[0], file)):
        with pytest.raises(ModelError, match=r"model\.keras: not a Keras model: "):
            load()
