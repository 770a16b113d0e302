"""The errors that a user can mend, and how a command or a stage ends with one of them: in one line.

Everything else is a fault of the program. Nobody catches it, so that it shows its traceback.
"""

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from glioseg.core.entry import interrupted

OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOLCK)
"""A disk that is full, read-only or broken, or that has no locks: reading, writing and locking an open file
raise it without the file's name, and no bug does."""


class GliosegError(Exception):
    """An error that a user can mend: input, settings, files or machines that glioseg cannot work with.

    The message is one line that names the thing, what was expected and what came.
    """


class SettingError(GliosegError, ValueError):
    """A setting that does not fit beside others.

    Pydantic turns a `ValueError` of its validators into an error that names the field; so one check serves
    the validators and the code that runs later.
    """


@contextmanager
def one_line(who: str = "", *, stopped: str | None = None) -> Iterator[None]:
    """End the process with exit code 1 and one line on stderr where the block raises what a user can mend.

    That is a `GliosegError`, or an `OSError` of a file: one that names it, or one of `OF_DISKS`.

    Args:
        who: the command or stage; the line begins with it.
        stopped: what the line of an interrupted block says, see `entry.say_stopped`; None leaves that to the
            block.

    Raises:
        SystemExit: in the place of such an error. Every other error passes.
        KeyboardInterrupt: the user interrupted the block.
    """
    try:
        yield
    except BaseException as error:
        if interrupted(error):
            if stopped:
                raise KeyboardInterrupt(stopped) from None
            raise
        if isinstance(error, GliosegError) or (isinstance(error, OSError) and _of_files(error)):
            sys.exit(_line(who, error))
        raise


def _of_files(error: OSError) -> bool:
    return names_file(error) or error.errno in OF_DISKS


def names_file(error: OSError) -> bool:
    """Whether an error of the operating system says which file it is about.

    `shutil.copytree` lists all files that it could not copy.

    >>> names_file(FileNotFoundError(2, "No such file or directory", "scan.nii")), names_file(OSError("no"))
    (True, False)
    """
    return error.filename is not None or isinstance(error, shutil.Error)


def _line(who: str, error: Exception) -> str:
    return f"{who}: {error}" if who else str(error)
