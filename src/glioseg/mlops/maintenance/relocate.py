"""Making a moved `mlruns` work again: the addresses in MLflow's database, rewritten.

Files stay as they are: what an `MLmodel` file says of the place where it was written is read by nobody.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.mlflow_locations import DATABASE, recorded_roots
from glioseg.mlops.tracking.storage import Lab, alone

COLUMNS = """
    SELECT tables.name, columns.name
    FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
    WHERE tables.type = 'table'
"""
"""Every column of every table: the next MLflow may keep addresses in another one."""


class RelocateError(GliosegError):
    """A lab that cannot be relocated; the message says why."""


@dataclass(frozen=True)
class Relocation:
    """What was done: `changed` counts values by `table.column`; `backup` is the database before."""

    old: Path
    changed: dict[str, int]
    backup: Path


def relocate(lab: Lab, old: Path | None = None) -> Relocation | None:
    """Let MLflow's database name the folder in which it lies.

    The database changes as a whole or not at all, and a copy of it from before is kept.

    Args:
        lab: where it is now.
        old: the project folder that the database names, asked for only where it names several.

    Returns:
        What was done; None where the database names this folder already.

    Raises:
        RelocateError: there is no database, or SQLite cannot read or change it; or it is not clear which
            folder is meant.
    """
    database = lab.folder / DATABASE
    if not database.exists():
        raise RelocateError(f"{database}: expected MLflow's database, found none")
    with alone(lab.lock(DATABASE)):
        try:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA schema_version")
            source = _source(recorded_roots(database) - {lab.root}, old)
            if source is None:
                return None
            backup = _back_up(database)
            with closing(sqlite3.connect(database)) as connection, connection:
                changed = dict(_rewrite(connection, Lab(source).folder, lab.folder))
        except sqlite3.Error as error:
            raise RelocateError(f"{database}: {error}") from None
        return Relocation(source, changed, backup)


def _source(elsewhere: set[Path], old: Path | None) -> Path | None:
    names = ", ".join(map(str, sorted(elsewhere)))
    if old is not None and old not in elsewhere:
        raise RelocateError(f"expected a folder that the database names ({names or 'none'}), got {old}")
    if old is None and len(elsewhere) > 1:
        raise RelocateError(f"the database names several folders, say which: {names}")
    return old or next(iter(elsewhere), None)


def _back_up(database: Path) -> Path:
    """Copy a database as it is between two changes; half a copy never bears the name."""
    backup = database.with_name(f"{database.name}.before-relocate")
    aside = backup.with_name(f".{backup.name}")
    aside.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    os.replace(aside, backup)
    return backup


def _rewrite(connection: sqlite3.Connection, old: Path, new: Path) -> Iterator[tuple[str, int]]:
    """Change every address inside a folder, written as a URI or as a path; yield how many, by column."""
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
