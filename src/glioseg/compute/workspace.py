"""What the machines of a cluster share: the project's folder, and the code of glioseg."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glioseg.compute.errors import ClusterError
from glioseg.core.fingerprint import code_fingerprint

_settled = threading.Condition()
_guests = 0
"""How many tasks now work in this process's folder."""


@dataclass(frozen=True)
class Shared:
    """What a worker must find as it is on the machine that starts the work.

    Attributes:
        folder: of the project; work is done in it.
        mark: a file in the folder that is there only now, so that an old copy of the project is found out.
        code: as from `code_of_glioseg`.
    """

    folder: Path
    mark: str
    code: str

    def check(self) -> None:
        """Compare with what is here.

        Raises:
            ClusterError: a line that names this machine.
        """
        here = f"worker on {socket.gethostname()}"
        if not (self.folder / self.mark).exists():
            raise ClusterError(
                f"{here}: expected the project's folder at {self.folder}, got none or another of that name;"
                " all machines must share it, at the same path"
            )
        if (code := code_of_glioseg()) != self.code:
            raise ClusterError(
                f"{here}: expected glioseg {self.code}, got {code};"
                " install the same there, with the same libraries, and restart it"
            )


@contextmanager
def share_folder() -> Iterator[Shared]:
    """What workers must find, while work goes on in this process's folder."""
    folder = Path.cwd()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".glioseg-") as mark:
        yield Shared(folder, Path(mark.name).name, code_of_glioseg())


def code_of_glioseg() -> str:
    """A short hash of the code and of its libraries' versions, as they were when this process first asked.

    A worker that runs since before the code was changed does not pass for one that has the new code.
    """
    return code_fingerprint()[:12]


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder: tasks of one project side by side, those of two projects in turn.

    The folder is that of the whole process, threads share it.
    """
    global _guests
    with _settled:
        _settled.wait_for(lambda: _guests == 0 or Path.cwd() == folder)
        os.chdir(folder)
        _guests += 1
    try:
        yield
    finally:
        with _settled:
            _guests -= 1
            _settled.notify_all()
