"""A copy of params.yaml with changed settings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers.projects import ROOT


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write params.yaml with settings that are named `section__key`."""

    def _write(**changes: object) -> Path:
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        for dotted, value in changes.items():
            section, key = dotted.split("__")
            content[section][key] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return _write
