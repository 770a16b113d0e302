"""Where MLflow's database says that its lab is: it keeps whole addresses, which a moved folder makes wrong.

Light: nothing of MLflow is imported. As a program it says whether the lab of this folder was moved.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from glioseg.core.errors import GliosegError, one_line
from glioseg.mlops.tracking.storage import ARTIFACTS_URL, Lab

DATABASE = "mlflow.db"


class MovedError(GliosegError):
    """A lab that is not where its database says; the message says where that is."""


def recorded_roots(database: Path) -> set[Path]:
    """The project folders that a database names: one as a rule, none where it is new.

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
    """The project of an experiment that glioseg created; None for one of others."""
    path = Path(unquote(urlsplit(location).path))
    if not path.is_absolute() or len(path.parts) < 4:
        return None
    root = path.parents[2]
    return root if location == Lab(root).artifacts_uri(experiment) else None


def require_here(lab: Lab) -> None:
    """Stop before a run's files go to a folder that this lab was moved or copied from.

    Raises:
        MovedError: the database in the lab's folder names another one.
    """
    elsewhere = set() if lab.shared else recorded_roots(lab.folder / DATABASE) - {lab.root}
    if elsewhere:
        names = " and ".join(map(str, sorted(elsewhere)))
        raise MovedError(f"{lab.folder.name} was made in {names}; run `glioseg relocate`")


def require_place(lab: Lab, experiment: str, location: str) -> None:
    """Stop before the files of one experiment lie in two places.

    Folders of other machines are let be: they share the database, and it names the first one's folder.

    Args:
        lab: with or without a bucket.
        experiment: its name.
        location: where the database says that its files are.

    Raises:
        MovedError: one of the two is a bucket, and they are not the same.
    """
    in_bucket = urlsplit(location).scheme == "s3"
    if location == lab.artifacts_uri(experiment) or not (lab.artifacts_url or in_bucket):
        return
    place = location.removesuffix(f"/{experiment}")
    advice = f"set it to {place}" if in_bucket else "unset it"
    raise MovedError(
        f"{ARTIFACTS_URL}: this database keeps the files of {experiment} in {location},"
        f" got {lab.artifacts_url or 'nothing'}; {advice}, or begin with a new database"
    )


if __name__ == "__main__":
    with one_line():
        require_here(Lab.here())
