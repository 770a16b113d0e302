"""File locks between processes of one machine.

The kernel releases the locks of a process that ends, even by `kill -9`, so no stale lock remains.

Exclusive locks come from filelock. The shared lock uses `fcntl.lockf` itself: filelock's shared lock cannot
become exclusive, and `flock` releases a shared lock before it tries to make it exclusive, so that a refused
process would hold no lock at all. `lockf` has one drawback: a process loses the lock when it closes any
handle of the file. So only this module opens the file of a shared lock.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from glioseg.core.errors import GliosegError

READ_ONLY_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of opening a file for writing that this user may only read."""
NO_LOCKS_ERRNOS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of locking on a file system without locks, e.g. some network drives."""


class LockError(GliosegError):
    """A file system without locks; the message names the lock's file."""


@contextmanager
def exclusive_lock(lock_file: Path, *, waiting: str = "") -> Iterator[None]:
    """Hold an exclusive lock until the block ends; wait while another process holds it.

    Args:
        lock_file: created if it does not exist, and left in place.
        waiting: a line that is printed once if another process holds the lock.

    Raises:
        LockError: the file system has no locks.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(lock_file)
    with _lock_errors(lock_file):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if waiting:
                print(waiting, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(lock_file: Path) -> bool:
    """Whether a process holds an exclusive lock; False if the file does not exist."""
    if not lock_file.exists():
        return False
    try:
        with _lock(lock_file).acquire(blocking=False):
            return False
    except Timeout:
        return True


def _lock(lock_file: Path) -> FileLock:
    # filelock's fallback for file systems without locks leaves a stale lock when its process is killed.
    return FileLock(lock_file, fallback_to_soft=False)


def hold_shared_lock(lock_file: Path) -> None:
    """Hold a shared lock until this process ends; wait while another process holds it exclusively.

    If the file does not exist and this user may not create it, there is no lock: only users who may write
    remove anything from the storage.

    Raises:
        LockError: the file system has no locks.
    """
    try:
        _shared(lock_file)
    except OSError as error:
        if error.errno not in READ_ONLY_ERRNOS:
            raise


@cache
def _shared(lock_file: Path) -> IO[str]:
    handle = _open(lock_file)
    with _lock_errors(lock_file):
        fcntl.lockf(handle, fcntl.LOCK_SH)
    return handle


def _open(lock_file: Path) -> IO[str]:
    """A shared lock needs a readable handle, an exclusive lock a writable one."""
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        return lock_file.open("a+")
    except OSError as error:
        if error.errno in READ_ONLY_ERRNOS and lock_file.exists():
            return lock_file.open()
        raise


@contextmanager
def _lock_errors(lock_file: Path) -> Iterator[None]:
    """Name the file and the remedy in errors of locking."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_LOCKS_ERRNOS:
            raise
        raise LockError(
            f"{lock_file}: the file system has no locks ({error.strerror}), which the databases need;"
            " move the project to a local disk, or mount the drive with locks"
        ) from None


@contextmanager
def try_exclusive(lock_file: Path) -> Iterator[bool]:
    """Try to make the shared lock exclusive until the block ends.

    The process holds the shared lock before and after the block, and also in the block if the attempt fails.

    Yields:
        Whether the lock is exclusive: no other process holds it, and none gets it before the block ends.

    Raises:
        PermissionError: this user may only read the file.
    """
    handle = _shared(lock_file)
    if not handle.writable():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(lock_file))
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        exclusive = True
    except (BlockingIOError, PermissionError):  # POSIX allows either error
        exclusive = False
    try:
        yield exclusive
    finally:
        fcntl.lockf(handle, fcntl.LOCK_SH)
