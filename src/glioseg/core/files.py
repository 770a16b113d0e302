"""Files and folders that appear whole or not at all."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glioseg.core.errors import GliosegError


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
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # `open` lets the kernel apply the umask: to read it, a process would change it for all of its threads.
    file = aside.open("xb")
    try:
        with named(path), file:
            file.write(content)
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


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write aside, which takes the place of `folder` only if all went well.

    A folder that is not empty cannot be replaced in one step, so the old one is renamed first. A process
    that is killed between the two renames leaves both beside `folder`, and the next replacement begins by
    putting the old one back.
    """
    if folder.is_symlink():  # the link stays, and what it points to is replaced
        folder = folder.resolve()
    _recover(folder)
    aside = _aside(folder)
    aside.mkdir(parents=True)
    try:
        yield aside
        with suppress(FileNotFoundError):  # there was none
            folder.rename(_old(folder))
        aside.rename(folder)
    finally:
        _recover(folder)


def _aside(folder: Path) -> Path:
    """Where a folder lies that is not whole yet, or not any more."""
    return folder.with_name(f".{folder.name}.part")


def _old(folder: Path) -> Path:
    """Where the folder from before lies, whole, while the new one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def _recover(folder: Path) -> None:
    """Put the old folder back unless the new one is there, and remove what is left over."""
    shutil.rmtree(_aside(folder), ignore_errors=True)
    with suppress(FileNotFoundError):
        if folder.exists():  # a kill while `.old` is removed would leave half of it under that name
            _old(folder).rename(_aside(folder))
            shutil.rmtree(_aside(folder), ignore_errors=True)
        else:
            _old(folder).rename(folder)


def remove_whole(folder: Path) -> None:
    """Remove a folder; what is not there is no error.

    A kill leaves the whole folder or nothing under its name, and perhaps a rest beside it, `….part`.
    """
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    with suppress(FileNotFoundError):
        folder.rename(aside)
        # Without errors: another machine may still be writing there.
        shutil.rmtree(aside, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Let a second name stand for a file; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
