"""Who is at work in a lab: those at work hold a lock together, and who tidies up asks for it alone.

The kernel drops the lock of a process that dies, so a killed training is not taken for a running one.

The lock is one of `lockf`. `flock` cannot turn a shared lock into an exclusive one in one step: it gives up
the shared lock first, and where the exclusive one is refused none is left. The price: a process drops its
lock when it closes any handle of the file, so nothing but this module opens it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from glioseg.mlops.tracking.storage import Lab


def enter(lab: Lab) -> None:
    """Be at work in a lab until this process ends; waits while somebody tidies up there."""
    _door(lab.lock("at-work"))


@cache
def _door(lock: Path) -> IO[str]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open("a+")  # a shared lock takes a handle to read with, an exclusive one to write with
    fcntl.lockf(file, fcntl.LOCK_SH)
    return file


@contextmanager
def undisturbed(lab: Lab) -> Iterator[bool]:
    """Say whether no other process is at work in a lab; if so, none begins in this block.

    This process stays at work, whatever the answer. Of a database that other machines use too nobody can
    say so.
    """
    door = _door(lab.lock("at-work"))
    try:
        fcntl.lockf(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        quiet = not lab.shared
    except (BlockingIOError, PermissionError):  # POSIX leaves open which of the two it is
        quiet = False
    try:
        yield quiet
    finally:
        fcntl.lockf(door, fcntl.LOCK_SH)
