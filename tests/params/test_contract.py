"""contract.yaml and its documentation agree with the defaults in the code, and errors name file and field."""

import re
from pathlib import Path

import pytest
import yaml

from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.params.contract import Contract, load_contract
from glioseg.params.settings_file import ParamsError
from tests.helpers.projects import ROOT

DEFAULTS = Contract().model_dump(mode="json")


def load(folder: Path, text: str) -> Contract:
    (folder / "contract.yaml").write_text(text)
    return load_contract(folder / "contract.yaml")


def test_the_file_holds_all_defaults() -> None:
    written = yaml.safe_load((ROOT / "contract.yaml").read_text().replace(" off", " 'off'"))
    assert written == DEFAULTS
    assert load_contract(ROOT / "contract.yaml") == Contract()


def test_each_rule_has_settings_and_each_setting_a_rule() -> None:
    rules = {each.name for table in raw_tables([], [], Contract()) for each in table.expectations}
    assert {name.lower().replace(" ", "_") for name in rules} == set(DEFAULTS)


def test_missing_settings_have_their_defaults(tmp_path: Path) -> None:
    contract = load(tmp_path, "shape: {voxels: [155, 240, 240]}\nrange: {severity: off}\n")
    assert contract.shape.voxels == (155, 240, 240)
    assert (contract.shape.severity, contract.shape.predict) == ("critical", "warning")
    assert contract.range.severity == "off"
    assert contract.peak == Contract().peak


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_or_missing_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == load_contract(tmp_path / "none.yaml") == Contract()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shpae: {severity: off}", "shpae: Extra inputs are not permitted"),
        ("shape: {size: [1, 1, 1]}", "shape.size: Extra inputs are not permitted"),
        ("nan: {severity: fatal}", "nan.severity: Input should be 'critical', 'warning', 'info' or 'off'"),
        ("nan: fatal", "nan: Input should be a valid dictionary or instance of RuleSettings"),
        ("spacing: {mm: [1, 1, 0]}", "spacing.mm.2: Input should be greater than 0"),
        ("brain_fraction: {low: 0.7}", "brain_fraction: expected low <= high, got 0.7 and 0.6"),
        ("range: {times: 1}", "range.times: Input should be greater than 1"),
        ("[shape]", "Input should be a valid dictionary or instance of Contract"),
        ("shape: {", "not YAML: "),
    ],
)
def test_an_invalid_setting_is_one_line_with_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'contract.yaml'}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "contract.yaml").write_bytes(b"\xff")
    with pytest.raises(ParamsError, match=r"contract\.yaml: not text: "):
        load_contract(tmp_path / "contract.yaml")


def test_severities_by_the_rule_s_name_in_a_finding() -> None:
    assert Contract().severity("brain fraction", single=False) == "critical"
    assert Contract().severity("brain fraction", single=True) == "warning"
    assert Contract().severity("NaN", single=True) == "critical"


def test_the_documentation_lists_each_rule_with_its_defaults() -> None:
    text = (ROOT / "docs" / "contract.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    documented = {name: (severity, predict, bounds.strip()) for name, severity, predict, bounds in rows}
    expected = {}
    for name, settings in DEFAULTS.items():
        bounds = {key: value for key, value in settings.items() if key not in ("severity", "predict")}
        text = ", ".join(f"`{key}: {value}`" for key, value in bounds.items())
        expected[name] = (settings["severity"], settings["predict"], text)
    assert documented == expected


def test_the_ratio_of_bright_tails_of_earlier_contracts_is_ignored(tmp_path: Path) -> None:
    old = load(tmp_path, "swapped: {severity: critical, predict: warning, times: 1.1}\n")
    assert (old.swapped.severity, old.swapped.log_odds) == ("critical", 4.0)
