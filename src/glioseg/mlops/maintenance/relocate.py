"""Repairs a moved `mlruns`: rewrites the addresses in MLflow's database.

Files stay unchanged. An `MLmodel` file names the folder in which it was written, but no code reads this name.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.mlflow_locations import DATABASE, recorded_roots
from glioseg.mlops.tracking.process_locks import exclusive_lock
from glioseg.mlops.tracking.storage import ProjectStorage

COLUMNS = """
    SELECT tables.name, columns.name
    FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
    WHERE tables.type = 'table'
"""
"""Lists all columns of all tables, since another MLflow version may store addresses in other columns."""


class RelocateError(GliosegError):
    """A database that cannot be relocated; the message gives the reason."""


@dataclass(frozen=True)
class Relocation:
    """The result: `changed` counts values by `table.column`; `backup` is a copy of the former database."""

    old: Path
    changed: dict[str, int]
    backup: Path


def relocate(storage: ProjectStorage, old: Path | None = None) -> Relocation | None:
    """Rewrite the addresses in MLflow's database to the folder that contains the database.

    All changes are one transaction. A copy of the former database is kept.

    Args:
        storage: the project's storage in its present folder.
        old: the project's former folder; needed only if the database names several.

    Returns:
        The result; None if the database already names the present folder.

    Raises:
        RelocateError: there is no database, SQLite cannot read or change it, or the former folder is
            ambiguous.
    """
    database = storage.folder / DATABASE
    if not database.exists():
        raise RelocateError(f"{database}: expected MLflow's database, found none")
    with exclusive_lock(storage.lock_file(DATABASE)):
        try:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA schema_version")
            source = _source(recorded_roots(database) - {storage.root}, old)
            if source is None:
                return None
            backup = _back_up(database)
            with closing(sqlite3.connect(database)) as connection, connection:
                changed = dict(_rewrite(connection, ProjectStorage(source).folder, storage.folder))
        except sqlite3.Error as error:
            raise RelocateError(f"{database}: {error}") from None
        return Relocation(source, changed, backup)


def _source(elsewhere: set[Path], old: Path | None) -> Path | None:
    names = ", ".join(map(str, sorted(elsewhere)))
    if old is not None and old not in elsewhere:
        raise RelocateError(f"expected a folder that the database names ({names or 'none'}), got {old}")
    if old is None and len(elsewhere) > 1:
        raise RelocateError(f"the database names several folders, choose one of {names}")
    return old or next(iter(elsewhere), None)


def _back_up(database: Path) -> Path:
    """Copy a database in a consistent state; the copy gets its final name when it is complete."""
    backup = database.with_name(f"{database.name}.before-relocate")
    aside = backup.with_name(f".{backup.name}")
    aside.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    os.replace(aside, backup)
    return backup


def _rewrite(connection: sqlite3.Connection, old: Path, new: Path) -> Iterator[tuple[str, int]]:
    """Rewrite all addresses below a folder, URIs and paths; yield the count for each column."""
    starts = [(f"{old.as_uri()}/", f"{new.as_uri()}/"), (f"{old}/", f"{new}/")]
    for table, column in connection.execute(COLUMNS).fetchall():
        update = (
            f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE substr("{column}", 1, ?) = ?'
        )
        rows = [
            connection.execute(update, (after, len(before) + 1, len(before), before)).rowcount
            for before, after in starts
        ]
        if sum(rows):
            yield f"{table}.{column}", sum(rows)
