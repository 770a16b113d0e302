"""The project storage: addresses of its databases and artifacts, and its locks. MLflow is not imported.

`python -m glioseg.mlops.tracking.storage tracking` prints MLflow's address, and `… studies` Optuna's.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.mlops.tracking.process_locks import exclusive_lock, hold_shared_lock, try_exclusive

DATABASE_URL = "GLIOSEG_DATABASE_URL"
"""Environment variable with the address of a PostgreSQL database, which replaces the SQLite files."""
ARTIFACTS_URL = "GLIOSEG_ARTIFACTS_URL"
"""Environment variable with a place in a bucket for the files of runs and models, instead of a folder."""
SCHEMAS = {"tracking": "mlflow", "studies": "optuna"}
"""PostgreSQL schemas: MLflow and Optuna both have a table `alembic_version`, so each needs its own schema."""
IN_USE = "at-work"
"""Name of the lock that all processes which use the storage share."""


class StorageError(GliosegError):
    """A project whose storage cannot be used; the message names its folder."""


@dataclass(frozen=True)
class ProjectStorage:
    """The databases, artifacts and locks of a project: its `mlruns` folder, PostgreSQL, a bucket.

    `root`: the project's folder, absolute, since MLflow stores absolute addresses.
    `database_url`: of a PostgreSQL database that machines share; by default, SQLite files in `mlruns`.
    `artifacts_url`: a place in a bucket for the files of runs and models, `s3://bucket/folder`; by default,
    they are in `mlruns` too.
    """

    root: Path
    database_url: str | None = field(default=None, repr=False)  # it may hold a password
    artifacts_url: str | None = None

    @classmethod
    def current(cls) -> "ProjectStorage":
        """The storage of the project that this process runs for.

        DVC runs a queued or temporary experiment in a copy of the project, and sets `DVC_ROOT` to the
        project itself, whose storage is used.
        """
        root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
        return cls(root, os.environ.get(DATABASE_URL) or None, os.environ.get(ARTIFACTS_URL) or None)

    @property
    def shared(self) -> bool:
        """Whether other machines may use the databases too."""
        return self.database_url is not None

    def prepare(self) -> None:
        """Create the folder or the schemas for the databases, and check that the bucket can be used.

        Raises:
            DatabaseError: the address is not that of a PostgreSQL database, or no server responds there.
            BucketError: the same for the bucket.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.artifacts_url:
            from glioseg.mlops.tracking.artifact_store import require_bucket

            require_bucket(self.artifacts_url)
        if self.database_url:
            from glioseg.mlops.tracking.postgres import create_schemas

            with self.locked("schemas"):
                create_schemas(self.database_url, SCHEMAS.values())

    @contextmanager
    def locked(self, name: str, *, waiting: str = "") -> Iterator[None]:
        """Hold a named lock until the block ends; other processes that use these databases wait for it.

        Args:
            name: of the lock.
            waiting: a line that is printed once if another process holds the lock.
        """
        if self.database_url:
            from glioseg.mlops.tracking.postgres import advisory_lock

            with advisory_lock(self.database_url, name, waiting=waiting):
                yield
        else:
            with exclusive_lock(self.lock_file(name), waiting=waiting):
                yield

    def hold_shared_lock(self) -> None:
        """Mark the storage as in use until this process ends; wait while another has exclusive use."""
        hold_shared_lock(self.lock_file(IN_USE))

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Try to get exclusive use of the storage until the block ends.

        Yields:
            Whether no other process uses the storage, nor starts to before the block ends. Always False for a
            PostgreSQL database, whose users on other machines hold no lock here.
        """
        with try_exclusive(self.lock_file(IN_USE)) as exclusive:
            yield exclusive and not self.shared

    @property
    def is_writable(self) -> bool:
        """Whether this user may write to the databases; SQLite writes files beside them, too."""
        files = [file for file in (self.folder, *self.database_files) if file.exists()]
        return self.shared or all(os.access(file, os.W_OK) for file in files)

    @property
    def folder(self) -> Path:
        """The `mlruns` folder."""
        return self.root / "mlruns"

    @property
    def database(self) -> Path | None:
        """MLflow's database of runs and registered models, if it is a file."""
        return None if self.shared else self.folder / "mlflow.db"

    @property
    def database_files(self) -> list[Path]:
        """The files of MLflow's and Optuna's databases, which may not exist yet; empty for PostgreSQL."""
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
            return _sqlite_address(self.folder / f"{schema}.db")
        from glioseg.mlops.tracking.postgres import schema_url

        return schema_url(self.database_url, schema)

    def artifacts_uri(self, experiment: str) -> str:
        """The address for the files of an experiment's runs."""
        if self.artifacts_url:
            return f"{self.artifacts_url.rstrip('/')}/{experiment}"
        return (self.folder / "artifacts" / experiment).as_uri()

    def state(self, key: str) -> Path:
        """The folder for the state of an interrupted training; not an out, since DVC would delete it."""
        return self.folder / "state" / key

    def tensorboard(self, key: str) -> Path:
        """The folder for the TensorBoard log of a training."""
        return self.folder / "tensorboard" / key

    def lock_file(self, name: str) -> Path:
        """The file of a named lock on this machine."""
        return self.folder / "locks" / name


def _sqlite_address(database: Path) -> str:
    """The address of a SQLite file, as text: MLflow and Optuna accept nothing else.

    Raises:
        StorageError: SQLAlchemy would read another path from that text, since it contains a `?`.
    """
    from sqlalchemy import URL, make_url  # takes a tenth of a second, and commands without MLflow need it not

    url = URL.create("sqlite", database=str(database))
    address = url.render_as_string()
    if make_url(address) != url:
        raise StorageError(
            f"{database.parent.parent}: expected a folder whose path an address of a database can hold, got a"
            " path with `?`; rename the folder, and run `glioseg relocate` if it has an mlruns"
        )
    return address


def download_folder(*, copy: bool = False) -> str | None:
    """A new folder for files that MLflow downloads from a bucket; it is deleted when this process ends.

    Args:
        copy: also copy files that are in a folder of this machine, which MLflow otherwise reads directly.

    Returns:
        None if the files are not copied.
    """
    return mkdtemp(dir=_downloads().name) if copy or ProjectStorage.current().artifacts_url else None


@cache
def _downloads() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="glioseg-")


def main(words: list[str]) -> None:
    """Print an address in one line, for the Makefile."""
    if len(words) != 1 or words[0] not in SCHEMAS:
        expected, given = " or ".join(SCHEMAS), " ".join(words) or "nothing"
        sys.exit(f"glioseg.mlops.tracking.storage: expected {expected}, got {given}")
    with one_line_errors("glioseg.mlops.tracking.storage"):
        storage = ProjectStorage.current()
        storage.prepare()
        print(storage.tracking_uri if words[0] == "tracking" else storage.study_url)


if __name__ == "__main__":
    main(sys.argv[1:])
