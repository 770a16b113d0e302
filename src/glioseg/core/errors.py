"""Errors that a user can fix. They end a command or a stage with one line instead of a traceback.

All other errors are bugs. No code catches them, so that they show their traceback.
"""

import errno
import shutil
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

    Such errors are a `GliosegError`, and an `OSError` that names a file or is one of `DISK_ERRNOS`.

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
        if isinstance(error, GliosegError) or (isinstance(error, OSError) and _is_file_error(error)):
            sys.exit(f"{command}: {error}" if command else str(error))
        raise


def _is_file_error(error: OSError) -> bool:
    return names_file(error) or error.errno in DISK_ERRNOS


def names_file(error: OSError) -> bool:
    """Whether an error of the operating system names the file that it concerns.

    The error of `shutil.copytree` lists all files that could not be copied.

    >>> names_file(FileNotFoundError(2, "No such file or directory", "scan.nii")), names_file(OSError("no"))
    (True, False)
    """
    return error.filename is not None or isinstance(error, shutil.Error)
