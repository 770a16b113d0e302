"""Folders that a process may only read, also where tests run as root, whom permissions do not restrict."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNPRIVILEGED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""Prefix of a command that makes permissions apply to it."""
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away all rights to write to a folder and all that is in it, until the block ends."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~WRITE)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
