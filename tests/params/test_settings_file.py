"""Settings files that are missing, or are not YAML, are one line that names the file."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from glioseg.params import load_params
from glioseg.params.settings_file import ParamsError, parse_yaml


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: No such file"):
        load_params(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"bad\.yaml: not YAML"),
        (b"a: 2024-13-45", r"bad\.yaml: not YAML: month must be in 1\.\.12"),
        (b"\xff", r"bad\.yaml: not text: "),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, message):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ParamsError, match=message):
        load_params(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 0.0001),
        ("1E-4", 0.0001),
        ("-2e-3", -0.002),
        ("1.5e3", 1500.0),
        ("1.e2", 100.0),
        ("+1e5", 100000.0),
        ("0.25", 0.25),
        ("'1e-4'", "1e-4"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("8", 8),
        ("0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_numbers_are_those_of_yaml_1_2_as_dvc_reads_them(written, value):
    found = parse_yaml(f"a: {written}", Path("params.yaml"))["a"]
    assert (found, type(found)) == (value, type(value))
    assert YAML(typ="safe").load(f"a: {written}")["a"] == value
