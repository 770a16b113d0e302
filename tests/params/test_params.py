from pathlib import Path

import pytest
import yaml

from glioseg.core.settings_file import ParamsError
from glioseg.params import load_params, with_best
from glioseg.params.pretraining import load_pretraining

ROOT = Path(__file__).parents[2]


@pytest.fixture
def write(tmp_path):
    def _write(**changes):
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        for dotted, value in changes.items():
            section, key = dotted.split("__")
            content[section][key] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return _write


def test_the_repository_s_own_file_is_sound():
    assert load_params(ROOT / "params.yaml").data.source == "phantom"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__epoch": 3}, "params.yaml: train.epoch: Extra inputs are not permitted"),
        ({"train__epochs": 0}, "params.yaml: train.epochs: Input should be greater than or equal to 1"),
        ({"data__source": "folder"}, "params.yaml: data: source: folder needs data.folder"),
        ({"train__patch_shape": [81, 96, 80]}, "params.yaml: train.patch_shape: expected multiples of"),
        ({"network__spacing_mm": 1, "crop__spacings_mm": [2]}, "network.spacing_mm: expected one of"),
        (
            {"tune__space": {"colour": {"low": 0, "high": 1}}},
            "tune: space: expected some of architecture, augmentation_strength, base_filters",
        ),
        (
            {"tune__space": {"depth": {"low": 2, "high": 7}}},
            "expected multiples of 64 (depth 7), got [72, 96, 72]",
        ),
        (
            {"tune__space": {"depth": {"choices": [2, 7]}}},
            "expected multiples of 64 (depth 7), got [72, 96, 72]",
        ),
        ({"tune__space": {"dropout": {"low": 1, "high": 0}}}, "expected low <= high"),
        ({"tune__space": {"dropout": {"low": 0.0, "high": 1.0}}}, "tune.space.dropout: Input should be less"),
        ({"tune__space": {"loss": {"choices": ["dice", "best"]}}}, "tune.space.loss: Input should be 'dice'"),
        (
            {"train__outputs": ["grade"]},
            "train: outputs: expected segmentation, and each once, got",
        ),
        ({"train__outputs": ["segmentation", "sex"]}, "train.outputs.1: Input should be 'segmentation'"),
        (
            {"compute__cluster": "head:8786"},
            "compute.cluster: expected processes, threads, slurm or a scheduler's address such as tcp://",
        ),
        ({"compute__cluster": "slurm"}, "compute: workers: expected how many Slurm shall start, got null"),
        ({"compute__workers": 0}, "compute.workers: Input should be greater than or equal to 1"),
        (
            {"train__batch_size": 6, "train__devices": 4},
            "train: devices: expected auto or a number that divides batch_size 6, got 4",
        ),
        ({"train__devices": 0}, "train.devices"),
        ({"train__devices": "all"}, "train.devices"),
        (
            {"split__test_fraction": 0.9},
            "params.yaml: split: expected test_fraction + validation_fraction below 1, the rest is to"
            " train on, got 0.9 + 0.125",
        ),
        (
            {"split__test_fraction": 0.7, "split__validation_fraction": 0.3},
            "below 1, the rest is to train on",
        ),
        ({"split__test_fraction": 1.0}, "params.yaml: split.test_fraction: Input should be less than 1"),
        ({"split__validation_fraction": 0}, "split.validation_fraction: Input should be greater than 0"),
        ({"train__folds": 3}, "train.folds: expected 1 or split.folds 5, got 3"),
        ({"inference__memory_gb": 0.1}, "inference.memory_gb: expected at least "),
        (
            {"register__margin": 0.0},
            "params.yaml: register.margin: Input should be a valid dictionary",
        ),
        ({"register__confidence": 1.0}, "register.confidence: Input should be less than 1"),
        (
            {"register__limits": {"calibration_error": 0, "case_s": None, "memory_gb": None}},
            "register.limits.calibration_error: Input should be greater than 0",
        ),
        ({"inference__min_et_ml": []}, "inference.min_et_ml: Tuple should have at least 1 item"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(write, changes, message):
    with pytest.raises(ParamsError) as error:
        load_params(write(**changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: No such file"):
        load_params(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ParamsError, match=r"bad\.yaml: not YAML"):
        load_params(tmp_path / "bad.yaml")
    (tmp_path / "date.yaml").write_text("a: 2024-13-45")
    with pytest.raises(ParamsError, match=r"date\.yaml: not YAML: month must be in 1\.\.12"):
        load_params(tmp_path / "date.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    with pytest.raises(ParamsError, match=r"bytes\.yaml: not text: "):
        load_params(tmp_path / "bytes.yaml")


def test_best_values_go_where_they_belong():
    params = load_params(ROOT / "params.yaml")
    best = with_best(params, {"learning_rate": 0.5, "depth": 3})
    assert best.train.learning_rate == 0.5
    assert best.network.depth == 3
    assert best.train.epochs == params.train.epochs


def test_a_patch_that_the_built_in_model_s_network_cannot_halve_is_named(tmp_path):
    plan = yaml.safe_load((ROOT / "pipelines/pretrain.yaml").read_text())
    plan["train"]["patch_shape"] = [7, 8, 8]
    (tmp_path / "pretrain.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(ParamsError, match=r"pretrain\.yaml: train\.patch_shape: expected multiples of "):
        load_pretraining(tmp_path / "pretrain.yaml")
