"""Who is at work in a lab: those at work hold a lock together, and who tidies up asks for it alone.

The kernel drops the lock of a process that dies, so a killed training is not taken for a running one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from glioseg.lab.addresses import Lab


def enter(lab: Lab) -> None:
    """Be at work in a lab until this process ends; waits while somebody tidies up there."""
    _door(lab.lock("at-work"))


@cache
def _door(lock: Path) -> IO[str]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open("w")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


@contextmanager
def undisturbed(lab: Lab) -> Iterator[bool]:
    """Say whether no other process is at work in a lab; if so, none begins in this block.

    Of a database that other machines use too nobody can say so.
    """
    door = _door(lab.lock("at-work"))
    try:
        fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        quiet = not lab.shared
    except BlockingIOError:
        quiet = False
    try:
        yield quiet
    finally:
        fcntl.flock(door, fcntl.LOCK_SH)
