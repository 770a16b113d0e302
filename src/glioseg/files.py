"""Files and folders that appear whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glioseg.errors import GliosegError


class FileError(GliosegError):
    """A file that does not hold what it should; the message names it."""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileError: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:  # no JSON, or no text at all
        raise FileError(f"{path}: not JSON: {error}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with named(path), os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name a file in the error that writing to it raises: Python does so only where it opens the file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write aside, which takes the place of `folder` only if all went well."""
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def link_or_copy(source: Path, target: Path) -> None:
    """Let a second name stand for a file; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
