"""Settings files that are missing, or are not YAML, are one line that names the file."""

import pytest

from glioseg.params import load_params
from glioseg.params.settings_file import ParamsError


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
