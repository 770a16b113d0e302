"""Where the lab keeps its databases, artifacts and locks. Light: it imports nothing of MLflow."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lab:
    """The `mlruns` folder of a project; `root` is absolute, since MLflow stores whole addresses."""

    root: Path

    @classmethod
    def here(cls) -> "Lab":
        """The lab of the project that a stage runs for.

        DVC runs a queued or temporary experiment in a copy of the project: `DVC_ROOT` then names
        the project itself, whose lab is the one to use.
        """
        return cls(Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve())

    @property
    def folder(self) -> Path:
        """Everything of the lab lies here."""
        return self.root / "mlruns"

    @property
    def database(self) -> Path:
        """MLflow's tracking and registry database."""
        return self.folder / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address of runs and registered models."""
        return f"sqlite:///{self.database}"

    @property
    def study_url(self) -> str:
        """Optuna's address of studies."""
        return f"sqlite:///{self.folder / 'optuna.db'}"

    def artifacts_uri(self, experiment: str) -> str:
        """Where the files of an experiment's runs go."""
        return (self.folder / "artifacts" / experiment).as_uri()

    def state(self, key: str) -> Path:
        """A folder for what an interrupted training needs to go on: DVC deletes its own outs."""
        return self.folder / "state" / key

    def tensorboard(self, key: str) -> Path:
        """Where a training writes its TensorBoard log."""
        return self.folder / "tensorboard" / key

    def lock(self, name: str) -> Path:
        """The file that processes lock before they do what only one at a time may do."""
        return self.folder / "locks" / name


@contextmanager
def alone(lock: Path, *, waiting: str = "") -> Iterator[None]:
    """Be the only process on this machine in this block; others wait.

    The kernel drops the lock of a process that dies, even of `kill -9`, so none is ever left over.

    Args:
        lock: a file to lock; it is created and stays.
        waiting: printed once where another process holds the lock.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
