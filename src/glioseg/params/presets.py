"""Presets: settings that belong together, put into params.yaml by name."""

import io
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from glioseg.core.files import write_whole
from glioseg.core.settings_file import ParamsError
from glioseg.params import Params, load_params, parse_params

Preset = dict[str, dict[str, Any]]

CUSTOM = "custom"


def presets() -> dict[str, Preset]:
    """Every preset by name: sections of params.yaml with the settings that it makes.

    >>> list(presets())
    ['demo', 'seed', 'brats']
    """
    content: dict[str, Preset] = _yaml().load(files("glioseg.params").joinpath("presets.yaml").read_text())
    return content


def apply_preset(name: str, path: Path = Path("params.yaml")) -> list[str]:
    """Put a preset's settings into params.yaml; comments and all other settings stay.

    Args:
        name: of the preset.
        path: the file to change; it is written whole or not at all.

    Returns:
        The dotted name of each setting that changed.

    Raises:
        ParamsError: no such preset, or a file that glioseg cannot work with before or after.
    """
    known = presets()
    if name not in known:
        raise ParamsError(f"preset: expected one of {', '.join(known)}, got {name}")
    load_params(path)
    yaml = _yaml()
    try:
        content = yaml.load(path.read_text())
    except YAMLError as error:  # it wants more of YAML than what reads params.yaml: no key twice
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    changed = []
    for section, settings in known[name].items():
        for key, value in settings.items():
            if content[section][key] != value:
                changed.append(f"{section}.{key}")
                content[section][key] = value
    text = io.StringIO()
    yaml.dump(content, text)
    parse_params(text.getvalue(), path)
    write_whole(path, text.getvalue().encode())
    return changed


def preset_of(path: Path = Path("params.yaml")) -> str:
    """The preset whose settings all stand in params.yaml, or `CUSTOM` where one of each differs.

    What a preset does not name may be as it is.

    Raises:
        ParamsError: a file that glioseg cannot work with.
    """
    params = load_params(path)
    settings = params.model_dump(by_alias=True)
    for name, preset in presets().items():
        changed = {section: values | preset.get(section, {}) for section, values in settings.items()}
        with suppress(ValidationError):  # a preset may not fit beside the other settings
            if Params.model_validate(changed) == params:
                return name
    return CUSTOM


def _yaml() -> YAML:
    """Reads and writes YAML with its comments, and an empty value as `null`."""
    yaml = YAML()
    yaml.width = 110
    yaml.Representer = _WithNull
    return yaml


class _WithNull(RoundTripRepresenter):  # type: ignore[misc]
    pass


_WithNull.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))
