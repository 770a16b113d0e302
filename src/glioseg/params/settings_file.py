"""Reading of settings in YAML, with one-line errors that name the file and the field."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from glioseg.core.errors import GliosegError

Model = TypeVar("Model", bound=BaseModel)


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The loader in C, if PyYAML was built with it, which is faster; floats are those of YAML 1.2.

    In YAML 1.1, `1e-4` and `1.5e3` are text: a float has a dot, and its exponent a sign. DVC reads YAML 1.2.
    """


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


class ParamsError(GliosegError):
    """An invalid setting; the message names the file and the field."""


def read_text(path: Path) -> str:
    """The text of a settings file.

    Raises:
        ParamsError: the file cannot be read, or is not text.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not text: {error}") from None


def parse_settings(model: type[Model], text: str, path: Path) -> Model:
    """Settings from YAML text; errors name `path`.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    try:
        return model.model_validate(parse_yaml(text, path))
    except ValidationError as error:
        raise params_error(path, error) from None


def parse_yaml(text: str, path: Path) -> Any:
    """The content of YAML text; errors name `path`.

    Raises:
        ParamsError: the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date or number
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def params_error(path: Path, error: ValidationError) -> ParamsError:
    """An error of one line for the first invalid value, with the file and the field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return ParamsError(": ".join(part for part in (str(path), field, message) if part))
