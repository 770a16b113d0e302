"""Consistency between the sections of params.yaml, and the best values of a study."""

import pytest
import yaml

from glioseg.params import load_params, with_best_params
from glioseg.params.settings_file import ParamsError
from tests.helpers.projects import ROOT


def test_the_repository_s_params_are_valid():
    assert load_params(ROOT / "params.yaml").data.source == "phantom"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__patch_shape": [81, 96, 80]}, "params.yaml: train.patch_shape: expected multiples of"),
        ({"network__spacing_mm": 1, "crop__spacings_mm": [2]}, "network.spacing_mm: expected one of"),
        (
            {"tune__space": {"depth": {"low": 2, "high": 7}}},
            "expected multiples of 64 (depth 7), got [72, 96, 72]",
        ),
        (
            {"tune__space": {"depth": {"choices": [2, 7]}}},
            "expected multiples of 64 (depth 7), got [72, 96, 72]",
        ),
        ({"tune__space": {"dropout": {"low": 0.0, "high": 1.0}}}, "tune.space.dropout: Input should be less"),
        ({"tune__space": {"loss": {"choices": ["dice", "best"]}}}, "tune.space.loss: Input should be 'dice'"),
        ({"train__folds": 3}, "train.folds: expected 1 or split.folds 5, got 3"),
        ({"inference__memory_gb": 0.1}, "inference.memory_gb: expected at least "),
    ],
)
def test_inconsistent_sections_are_one_line_that_names_the_field(write, changes, message):
    with pytest.raises(ParamsError) as error:
        load_params(write(**changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_best_values_override_network_and_train():
    params = load_params(ROOT / "params.yaml")
    best = with_best_params(params, {"learning_rate": 0.5, "depth": 3})
    assert best.train.learning_rate == 0.5
    assert best.network.depth == 3
    assert best.train.epochs == params.train.epochs


@pytest.fixture
def write_rate(write):
    """Write params.yaml with one choice of the learning rate, as the YAML text that is given."""

    def _write(text):
        path = write(tune__space={"learning_rate": {"choices": ["RATE"]}})
        path.write_text(path.read_text().replace("- RATE", f"- {text}"))
        return path

    return _write


def test_a_choice_in_scientific_notation_is_a_number(write_rate):
    assert load_params(write_rate("1e-4")).tune.space["learning_rate"].choices == (0.0001,)


def test_true_is_no_number(write_rate):
    """Pydantic would take it for 1."""
    with pytest.raises(ParamsError, match=r"learning_rate: expected a number, got True$"):
        load_params(write_rate("true"))


def test_a_choice_of_true_and_false_stays_one(tmp_path):
    """It was stored as 1 and 0, so best_params.json had `"batch_dice": 1`."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["tune"]["space"] = {"batch_dice": {"choices": [True, False]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert str(load_params(tmp_path / "params.yaml").tune.space["batch_dice"].choices) == "(True, False)"


def test_a_number_in_quotes_is_no_choice(write_rate):
    """Pydantic would take it for a number, but the study would store the text."""
    with pytest.raises(ParamsError, match=r"learning_rate: expected no text, got '1e-4'; remove the quotes$"):
        load_params(write_rate("'1e-4'"))
