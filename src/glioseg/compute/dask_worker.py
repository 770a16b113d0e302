"""Code that runs on a Dask worker: tasks in the shared project folder, and queries of the worker's state."""

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from glioseg.core.errors import ClusterError
from glioseg.core.fingerprint import code_fingerprint

Item = TypeVar("Item")
Result = TypeVar("Result")

_folder_free = threading.Condition()
_active_tasks = 0
"""Number of tasks that run in the working directory of this process."""


@dataclass(frozen=True)
class Workspace:
    """What all machines of a cluster must share: the project's folder and the version of the code.

    Attributes:
        folder: the project's folder, in which tasks run.
        marker: name of a temporary file in the folder, which an old copy of the project lacks.
        code: the result of `code_version`.
    """

    folder: Path
    marker: str
    code: str

    def check(self) -> None:
        """Compare the workspace with this machine.

        Raises:
            ClusterError: one line that names this machine and the difference.
        """
        here = f"worker on {socket.gethostname()}"
        if not (self.folder / self.marker).exists():
            raise ClusterError(
                f"{here}: expected the project's folder at {self.folder}, got none or another of that name;"
                " all machines must share it, at the same path"
            )
        if (code := code_version()) != self.code:
            raise ClusterError(
                f"{here}: expected glioseg {self.code}, got {code};"
                " install the same there, with the same libraries, and restart it"
            )


@contextmanager
def publish_workspace() -> Iterator[Workspace]:
    """The workspace of this process, valid for the duration of the block."""
    folder = Path.cwd()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".glioseg-") as marker:
        yield Workspace(folder, Path(marker.name).name, code_version())


def code_version() -> str:
    """A short fingerprint of the code and its libraries' versions at the first call in this process.

    A worker that was started before an edit of the code therefore reports the old version.
    """
    return code_fingerprint()[:12]


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Run a block in a folder. Blocks in one folder run concurrently, blocks in different folders in turn.

    All threads of a process share one working directory.
    """
    global _active_tasks
    with _folder_free:
        _folder_free.wait_for(lambda: _active_tasks == 0 or Path.cwd() == folder)
        os.chdir(folder)
        _active_tasks += 1
    try:
        yield
    finally:
        with _folder_free:
            _active_tasks -= 1
            _folder_free.notify_all()


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """A function that runs on a worker only if the worker has the same workspace."""

    function: Callable[[Item], Result]
    workspace: Workspace

    def __call__(self, item: Item) -> Result:
        """Apply the function to one item."""
        self.workspace.check()  # for each item: the worker may have joined later
        with working_directory(self.workspace.folder):
            return self.function(item)


def worker_threads() -> int | None:
    """The number of threads of this Dask worker; None outside of workers."""
    worker = _worker()
    return worker.state.nthreads if worker else None


def task_is_wanted() -> bool:
    """Whether the client still waits for the current task: a client that stops cancels its tasks."""
    worker = _worker()
    if worker is None:
        return True
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state != "cancelled"


def _worker() -> Any:
    if "distributed" not in sys.modules:  # workers have imported it; avoid an import of one second elsewhere
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
