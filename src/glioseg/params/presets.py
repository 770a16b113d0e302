"""Presets: named groups of settings that are written into params.yaml."""

import io
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from glioseg.core.files import write_atomic
from glioseg.params import Params, load_params, parse_params
from glioseg.params.settings_file import ParamsError

Preset = dict[str, dict[str, Any]]

CUSTOM = "custom"
OF_OWN_CASES = "adapt"
"""The preset that needs labelled cases of the user."""


def load_presets() -> dict[str, Preset]:
    """All presets by name: the settings of each, by section of params.yaml.

    >>> list(load_presets())
    ['demo', 'seed', 'brats', 'adapt']
    """
    content: dict[str, Preset] = _yaml().load(files("glioseg.params").joinpath("presets.yaml").read_text())
    return content


def apply_preset(name: str, path: Path = Path("params.yaml")) -> list[str]:
    """Write a preset's settings into params.yaml; comments and all other settings are preserved.

    Args:
        name: name of the preset.
        path: the file to change; it is written atomically.

    Returns:
        The dotted name of each setting that changed.

    Raises:
        ParamsError: the preset does not exist, or the file is invalid before or after the change.
    """
    known = load_presets()
    if name not in known:
        raise ParamsError(f"preset: expected one of {', '.join(known)}, got {name}")
    load_params(path)
    yaml = _yaml()
    try:
        content = yaml.load(path.read_text())
    except YAMLError as error:  # unlike PyYAML, it rejects duplicate keys
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    changed = []
    for section, settings in known[name].items():
        for key, value in settings.items():
            if key not in content[section] or content[section][key] != value:
                changed.append(f"{section}.{key}")
                content[section][key] = value
    text = io.StringIO()
    yaml.dump(content, text)
    parse_params(text.getvalue(), path)
    write_atomic(path, text.getvalue().encode())
    return changed


def detect_preset(path: Path = Path("params.yaml")) -> str:
    """The preset whose settings all occur in params.yaml; `CUSTOM` if there is none.

    Settings outside of presets are ignored.

    Raises:
        ParamsError: the file is invalid.
    """
    params = load_params(path)
    settings = params.model_dump(by_alias=True)
    for name, preset in load_presets().items():
        changed = {section: values | preset.get(section, {}) for section, values in settings.items()}
        with suppress(ValidationError):  # a preset may be inconsistent with the other settings
            if Params.model_validate(changed) == params:
                return name
    return CUSTOM


def _yaml() -> YAML:
    """A reader and writer of YAML that preserves comments and writes an empty value as `null`."""
    yaml = YAML()
    yaml.width = 110
    yaml.Representer = _NullRepresenter
    return yaml


class _NullRepresenter(RoundTripRepresenter):  # type: ignore[misc]
    pass


_NullRepresenter.add_representer(
    type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
)
