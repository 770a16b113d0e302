"""Settings in YAML: read, and if they do not fit, one line that says where."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from glioseg.core.errors import GliosegError

Kind = TypeVar("Kind", bound=BaseModel)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The faster one, where PyYAML was built with it."""


class ParamsError(GliosegError):
    """A setting that glioseg cannot work with; the message names the file and the field."""


def read_text(path: Path) -> str:
    """The text of a file of settings.

    Raises:
        ParamsError: it cannot be read.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not text: {error}") from None


def checked(kind: type[Kind], text: str, path: Path) -> Kind:
    """Settings of a kind; `path` is what an error names.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    try:
        return kind.model_validate(parse_yaml(text, path))
    except ValidationError as error:
        raise wrong_value(path, error) from None


def parse_yaml(text: str, path: Path) -> Any:
    """The content of a file in YAML.

    Raises:
        ParamsError: it is not YAML.
    """
    try:
        return yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of a date or a number
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def wrong_value(path: Path, error: ValidationError) -> ParamsError:
    """One line on the first value that does not fit, with the file and the field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return ParamsError(": ".join(part for part in (str(path), field, message) if part))
