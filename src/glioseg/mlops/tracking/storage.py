"""Where the lab keeps its databases, artifacts and locks. Light: it imports nothing of MLflow.

`python -m glioseg.mlops.tracking.storage tracking` prints MLflow's address, and `… studies` Optuna's.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from glioseg.core.errors import one_line

DATABASE_URL = "GLIOSEG_DATABASE_URL"
"""Environment variable with the address of a PostgreSQL database, to be used instead of SQLite files."""
ARTIFACTS_URL = "GLIOSEG_ARTIFACTS_URL"
"""Environment variable with a place in a bucket for the files of runs and models, instead of a folder."""
SCHEMAS = {"tracking": "mlflow", "studies": "optuna"}
"""Both keep a table `alembic_version`: in one database each needs a schema of its own."""


@dataclass(frozen=True)
class Lab:
    """The `mlruns` folder of a project; `root` is absolute, since MLflow stores whole addresses.

    `database_url` is the address of a PostgreSQL database that several machines share; without one the
    databases are SQLite files in the folder. `artifacts_url` is a place in a bucket, `s3://bucket/folder`;
    without one the files of runs and models lie in the folder too.
    """

    root: Path
    database_url: str | None = field(default=None, repr=False)  # it may hold a password
    artifacts_url: str | None = None

    @classmethod
    def here(cls) -> "Lab":
        """The lab of the project that a stage runs for.

        DVC runs a queued or temporary experiment in a copy of the project: `DVC_ROOT` then names
        the project itself, whose lab is the one to use.
        """
        root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
        return cls(root, os.environ.get(DATABASE_URL) or None, os.environ.get(ARTIFACTS_URL) or None)

    @property
    def shared(self) -> bool:
        """Whether other machines may use the databases too."""
        return self.database_url is not None

    def prepare(self) -> None:
        """Make what databases need before they can be created: the folder, or the schemas.

        Raises:
            DatabaseError: the address is none of PostgreSQL's, or nobody answers there.
            BucketError: the same of the bucket.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.artifacts_url:
            from glioseg.mlops.tracking.s3 import require_bucket

            require_bucket(self.artifacts_url)
        if self.database_url:
            from glioseg.mlops.tracking.postgres import create_schemas

            with self.alone("schemas"):
                create_schemas(self.database_url, SCHEMAS.values())

    @contextmanager
    def alone(self, name: str, *, waiting: str = "") -> Iterator[None]:
        """Be the only process in this block, of all that use these databases; others wait.

        Args:
            name: of what only one may do at a time.
            waiting: printed once where another process is at it.
        """
        if self.database_url:
            from glioseg.mlops.tracking.postgres import advisory_lock

            with advisory_lock(self.database_url, name, waiting=waiting):
                yield
        else:
            with alone(self.lock(name), waiting=waiting):
                yield

    @property
    def folder(self) -> Path:
        """Everything of the lab lies here."""
        return self.root / "mlruns"

    @property
    def database(self) -> Path | None:
        """MLflow's tracking and registry database, where it is a file."""
        return None if self.shared else self.folder / "mlflow.db"

    @property
    def database_files(self) -> list[Path]:
        """All databases that are files: MLflow's and Optuna's; they may not be there yet."""
        return [] if self.shared else [self.folder / f"{schema}.db" for schema in SCHEMAS.values()]

    @property
    def tracking_uri(self) -> str:
        """MLflow's address of runs and registered models."""
        return self._address("tracking")

    @property
    def study_url(self) -> str:
        """Optuna's address of studies."""
        return self._address("studies")

    def _address(self, of: str) -> str:
        schema = SCHEMAS[of]
        if not self.database_url:
            return f"sqlite:///{self.folder / schema}.db"
        from glioseg.mlops.tracking.postgres import in_schema

        return in_schema(self.database_url, schema)

    def artifacts_uri(self, experiment: str) -> str:
        """Where the files of an experiment's runs go."""
        if self.artifacts_url:
            return f"{self.artifacts_url.rstrip('/')}/{experiment}"
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


def held(lock: Path) -> bool:
    """Whether a process holds a lock; False where its file does not exist, or was just removed."""
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def download_folder() -> str | None:
    """A new folder for files that MLflow downloads from a bucket; it is deleted when this process ends.

    Returns:
        None where the files are in a folder of this machine, and are read from there.
    """
    return mkdtemp(dir=_downloads().name) if Lab.here().artifacts_url else None


@cache
def _downloads() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="glioseg-")


def main(words: list[str]) -> None:
    """Print an address: one line, for a Makefile to use."""
    if len(words) != 1 or words[0] not in SCHEMAS:
        sys.exit(
            f"glioseg.mlops.tracking.storage: expected {' or '.join(SCHEMAS)}, got {' '.join(words) or 'nothing'}"
        )
    with one_line("glioseg.mlops.tracking.storage"):
        lab = Lab.here()
        lab.prepare()
        print(lab.tracking_uri if words[0] == "tracking" else lab.study_url)


if __name__ == "__main__":
    main(sys.argv[1:])
