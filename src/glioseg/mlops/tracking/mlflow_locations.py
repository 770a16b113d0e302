"""Checks that the locations in MLflow's database are still right: it stores absolute addresses.

MLflow is not imported. `python -m glioseg.mlops.tracking.mlflow_locations` fails with one line if `mlruns` in
this folder was moved.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.mlops.tracking.storage import ARTIFACTS_URL, ProjectStorage

DATABASE = "mlflow.db"


class MovedError(GliosegError):
    """A project storage that is not in the folder that its database names; the message names this folder."""


def recorded_roots(database: Path) -> set[Path]:
    """The project folders that a database names: usually one, none if it is new.

    Args:
        database: MLflow's SQLite file; it is only read.
    """
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    except sqlite3.Error:
        return set()
    return {root for name, location in rows if (root := _root(name, location)) is not None}


def _root(experiment: str, location: str) -> Path | None:
    """The project folder of an experiment that glioseg created; None for other experiments."""
    path = Path(unquote(urlsplit(location).path))
    if not path.is_absolute() or len(path.parts) < 4:
        return None
    root = path.parents[2]
    return root if location == ProjectStorage(root).artifacts_uri(experiment) else None


def require_not_moved(storage: ProjectStorage) -> None:
    """Require that the storage was not moved or copied: files of runs would go to the old folder.

    Raises:
        MovedError: the database names another project folder.
    """
    elsewhere = set() if storage.shared else recorded_roots(storage.folder / DATABASE) - {storage.root}
    if elsewhere:
        names = " and ".join(map(str, sorted(elsewhere)))
        raise MovedError(f"{storage.folder.name} was made in {names}; run `glioseg relocate`")


def require_same_location(storage: ProjectStorage, experiment: str, location: str) -> None:
    """Require that the files of an experiment stay in one place.

    Two different folders are accepted: machines that share a database all use the folder of the first one.

    Args:
        storage: with or without a bucket.
        experiment: its name.
        location: of its files, as stored in the database.

    Raises:
        MovedError: one of the two places is a bucket, and they differ.
    """
    in_bucket = urlsplit(location).scheme == "s3"
    if location == storage.artifacts_uri(experiment) or not (storage.artifacts_url or in_bucket):
        return
    bucket = location.removesuffix(f"/{experiment}")
    advice = f"set it to {bucket}" if in_bucket else "unset it"
    raise MovedError(
        f"{ARTIFACTS_URL}: this database keeps the files of {experiment} in {location},"
        f" got {storage.artifacts_url or 'nothing'}; {advice}, or start with a new database"
    )


if __name__ == "__main__":
    with one_line_errors():
        require_not_moved(ProjectStorage.current())
