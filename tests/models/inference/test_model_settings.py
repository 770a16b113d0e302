import json
from dataclasses import replace

import pytest

from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings, VolumeIntervals
from glioseg.models.networks.keras_file import ModelError
from glioseg.params.sections import Crop, Inference
from tests.helpers.models import IDENTITY_ESTIMATOR, make_settings
from tests.helpers.toys import make_network, make_train

CROP = Crop(margin_vox=3, spacings_mm=(1,), on_the_fly=False)
INFERENCE = Inference(
    memory_gb=4, overlap=0.25, mirror=True, threshold=(0.5,), min_et_ml=(0.0,), min_component_ml=(0.0,)
)


def test_settings_of_a_network_before_calibration():
    network = make_network(spacing_mm=2, depth=4, base_filters=6, target="labels")
    train = make_train(patch_shape=(8, 16, 8), modality_dropout=0.3)
    assert Settings.untuned(network, train, CROP, INFERENCE) == Settings(
        spacing_mm=2,
        multiple=8,
        margin_vox=3,
        target="labels",
        base_filters=6,
        modality_dropout=0.3,
        window_shape=(8, 16, 8),
        overlap=0.25,
        memory_gb=4,
        mirror=True,
    )


def test_a_round_trip(tmp_path):
    settings = make_settings(
        temperature=(1.5, 1.0, 0.5),
        volume_intervals=VolumeIntervals((0.1, 0.2, 0.3), level=0.875, cases=7),
        calibration_error_before=(0.1, 0.1, 0.1),
        calibration_error_after=(0.01, 0.02, 0.03),
        confidence=IDENTITY_ESTIMATOR,
    )
    settings.save(tmp_path)
    assert Settings.load(tmp_path) == settings


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_the_error_names_a_file_that_is_no_settings_file(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(ModelError, match=r"settings.json: not a model's settings"):
        Settings.load(tmp_path)


def test_settings_without_a_quality_estimator_load_and_a_broken_one_is_an_error(tmp_path):
    make_settings(confidence=IDENTITY_ESTIMATOR).save(tmp_path)
    file = tmp_path / "settings.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"confidence": {"found": 3}}))
    with pytest.raises(ModelError, match=r"settings.json: not a model's settings: confidence: "):
        Settings.load(tmp_path)
    del record["confidence"]
    file.write_text(json.dumps(record))
    assert Settings.load(tmp_path) == make_settings()


def test_intervals_without_a_level_are_ignored(tmp_path):
    """Earlier versions stored the half-width of intervals without the number of calibration cases."""
    make_settings().save(tmp_path)
    file = tmp_path / "settings.json"
    record = json.loads(file.read_text())
    del record["volume_intervals"]
    file.write_text(json.dumps(record | {"volume_reach": [0.5, 0.7, 0.6]}))
    assert Settings.load(tmp_path) == make_settings()
    file.write_text(json.dumps(record | {"volume_intervals": {"half_width": [0.5, 0.7]}}))
    with pytest.raises(ModelError, match=r"settings.json: not a model's settings: volume_intervals: "):
        Settings.load(tmp_path)


def test_intervals_of_the_version_before_are_not_shifted_and_name_no_cases(tmp_path):
    intervals = VolumeIntervals((0.1, 0.2, 0.3), level=0.875, cases=7)
    make_settings(volume_intervals=intervals, calibrated_on="real").save(tmp_path)
    file = tmp_path / "settings.json"
    record = json.loads(file.read_text())
    del record["volume_intervals"]["shift"], record["calibrated_on"]
    file.write_text(json.dumps(record))
    assert Settings.load(tmp_path) == make_settings(volume_intervals=intervals)


def test_the_built_in_model_states_the_dice_and_the_volumes_that_real_cases_taught():
    settings = Settings.load(builtin.FOLDER)
    assert settings.calibrated_on == "real"
    assert (settings.volume_intervals.level, settings.volume_intervals.cases) == (0.9, 13)
    shift = settings.volume_intervals.shift
    assert abs(shift[0]) < 0.05 < shift[2]  # WT has about the right volume, and ET is predicted too small
    assert settings.confidence.empty[2] is None  # two of thirteen cases do not enhance, which is too few
    assert max(settings.confidence.low_dice) <= 0.6


def test_predictions_without_mirroring_have_their_own_calibration(tmp_path):
    mirrored, unmirrored = (replace(IDENTITY_ESTIMATOR, low_dice=(low,) * 3) for low in (0.5, 0.4))
    narrow, wide = (VolumeIntervals((half_width,) * 3, level=0.9, cases=9) for half_width in (1.0, 2.0))
    settings = make_settings(
        mirror=True,
        confidence=mirrored,
        volume_intervals=narrow,
        confidence_unmirrored=unmirrored,
        volume_intervals_unmirrored=wide,
    )
    settings.save(tmp_path)
    assert Settings.load(tmp_path) == settings == settings.with_mirroring(True)
    off = settings.with_mirroring(False)
    assert (off.mirror, off.confidence, off.volume_intervals) == (False, unmirrored, wide)


def test_a_calibration_without_one_for_unmirrored_predictions_serves_both():
    settings = make_settings(mirror=True, confidence=IDENTITY_ESTIMATOR)
    assert settings.with_mirroring(False) == replace(settings, mirror=False)


def test_the_summary_omits_the_quality_estimator():
    summary = make_settings(confidence=IDENTITY_ESTIMATOR).summary
    assert "confidence" not in summary
    assert summary["spacing_mm"] == 1


def test_missing_and_unknown_settings_are_named(tmp_path):
    make_settings().save(tmp_path)
    record = json.loads((tmp_path / "settings.json").read_text())
    del record["overlap"]
    (tmp_path / "settings.json").write_text(json.dumps(record | {"colour": "blue"}))
    with pytest.raises(ModelError, match=r"not a model's settings: missing or unknown: colour, overlap$"):
        Settings.load(tmp_path)
