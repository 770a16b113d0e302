"""Atomic writes: a file or a folder appears completely or not at all."""

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
    """A file with unexpected content; the message names it."""


def expand_user(path: Path) -> Path:
    """A path with the home folder in place of `~`; the path itself if there is no such home."""
    return Path(os.path.expanduser(path))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:  # not JSON, or not text
        raise FileError(f"{path}: not JSON: {error}") from None


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that readers never see part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # `open` lets the kernel apply the umask: a process that reads its umask changes it for all its threads.
    file = temporary.open("xb")
    try:
        with name_in_errors(path), file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Add the file's name to OS errors of this block: Python names a file only in errors of opening it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def replace_folder_atomic(folder: Path) -> Iterator[Path]:
    """Context with a temporary folder to write to; it replaces `folder` only if the block succeeds.

    A folder that is not empty cannot be replaced in one step, so the old one is renamed first. A process
    that is killed between the two renames leaves both beside `folder`; the next replacement first restores
    the old one.
    """
    if folder.is_symlink():  # replace the folder that the link points to, and keep the link
        folder = folder.resolve()
    _recover(folder)
    temporary = _temporary(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        with suppress(FileNotFoundError):  # `folder` is new
            folder.rename(_old(folder))
        temporary.rename(folder)
    finally:
        _recover(folder)


def _temporary(folder: Path) -> Path:
    """Path of a folder while it is being written or removed."""
    return folder.with_name(f".{folder.name}.part")


def _old(folder: Path) -> Path:
    """Path of the complete old folder while the new one replaces it."""
    return folder.with_name(f".{folder.name}.old")


def _recover(folder: Path) -> None:
    """Restore the old folder unless the new one is in place, and remove temporary folders."""
    shutil.rmtree(_temporary(folder), ignore_errors=True)
    with suppress(FileNotFoundError):
        if folder.exists():  # first renamed: a kill during the removal must not leave part of it as `.old`
            _old(folder).rename(_temporary(folder))
            shutil.rmtree(_temporary(folder), ignore_errors=True)
        else:
            _old(folder).rename(folder)


def remove_folder_atomic(folder: Path) -> None:
    """Remove a folder if it exists.

    If the process is killed meanwhile, the folder is either complete or absent; a partly removed `….part` may
    remain beside it.
    """
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    with suppress(FileNotFoundError):
        folder.rename(temporary)
        # Errors are ignored: another machine may still be writing to the folder.
        shutil.rmtree(temporary, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
