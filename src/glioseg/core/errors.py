"""Errors that a user can fix. They end a command or a stage with one line instead of a traceback.

All other errors are bugs. No code catches them, so that they show their traceback.
"""

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from glioseg.core.entry import was_interrupted

DISK_ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENOLCK,
)
"""Errors of a disk that is full, read-only or broken, or that has no locks. Reading, writing and locking an
open file raise them without the file's name; bugs do not raise them."""
DATABASE_CODES = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
)
"""The same for a SQLite file: primary error codes, the low byte of the extended ones."""
NO_SPACE = os.strerror(errno.ENOSPC)


class GliosegError(Exception):
    """An error that a user can fix: input, settings, files or machines that glioseg cannot work with.

    The message is one line that names the thing, what was expected and what came.
    """


class SettingError(GliosegError, ValueError):
    """A setting that is inconsistent with other settings.

    Pydantic turns a `ValueError` of its validators into an error that names the field, so that one check
    serves the validators and the code that runs later.
    """


class ClusterError(GliosegError):
    """A failure of a machine, a process or a scheduler, not of the function that it ran."""


@contextmanager
def one_line_errors(command: str = "", *, interrupt_message: str | None = None) -> Iterator[None]:
    """Context that turns an error that a user can fix into one line on stderr and exit code 1.

    Such errors are a `GliosegError`, an `OSError` that names a file or is one of `DISK_ERRNOS`, and any error
    that a disk or a database caused (`storage_failure`).

    Args:
        command: the command or stage; the line begins with it.
        interrupt_message: message of the KeyboardInterrupt that leaves an interrupted block, see
            `entry.print_interrupted`; with None, the error of the block propagates.

    Raises:
        SystemExit: in place of an error that a user can fix. All other errors propagate.
        KeyboardInterrupt: the user interrupted the block.
    """
    try:
        yield
    except BaseException as error:
        if was_interrupted(error):
            if interrupt_message:
                raise KeyboardInterrupt(interrupt_message) from None
            raise
        if isinstance(error, GliosegError) or (isinstance(error, OSError) and names_file(error)):
            sys.exit(f"{command}: {error}" if command else str(error))
        if failure := storage_failure(error):
            sys.exit(f"{command}: {failure}" if command else failure)
        raise


def storage_failure(error: BaseException) -> str | None:
    """The message of the disk or the database that caused an error, in one line; None if neither did.

    Libraries wrap these errors: SQLAlchemy and MLflow chain them, HDF5 and TensorFlow only repeat the text.

    >>> try:
    ...     try:
    ...         raise OSError(errno.ENOSPC, "No space left on device")
    ...     except OSError as cause:
    ...         raise RuntimeError("cannot log") from cause
    ... except RuntimeError as error:
    ...     print(storage_failure(error))
    [Errno 28] No space left on device
    """
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        if isinstance(cause, OSError) and cause.errno in DISK_ERRNOS:
            return " ".join(str(cause).split())
        if isinstance(cause, sqlite3.Error) and _database_code(cause) in DATABASE_CODES:
            return f"the database in mlruns failed: {cause}"
        if NO_SPACE in str(cause):
            return NO_SPACE
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def _database_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def names_file(error: OSError) -> bool:
    """Whether an error of the operating system names the file that it concerns.

    The error of `shutil.copytree` lists all files that could not be copied.

    >>> names_file(FileNotFoundError(2, "No such file or directory", "scan.nii")), names_file(OSError("no"))
    (True, False)
    """
    return error.filename is not None or isinstance(error, shutil.Error)
