"""What can be wrong with a machine while a stage runs."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """No file grows beyond this size: what a full disk does, at a place that is sure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_superuser() -> Iterator[None]:
    """Modes of files hold for root too: the project becomes another user's, who runs the stage."""
    user = os.geteuid()
    if user == 0:
        for path in (Path(), *Path().rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
