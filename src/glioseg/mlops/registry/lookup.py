"""A quick look into MLflow's registry: importing MLflow takes four seconds, SQLite none.

Registering happens in every `make repro`, and nearly always there is nothing to do. Only this file
knows tables of MLflow's. Where they are not as expected, or in no file, it answers "not known" and MLflow
is asked.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

QUERY = """
    SELECT MAX(versions.version) FROM model_versions AS versions
    WHERE versions.name = :name AND versions.current_stage <> 'Deleted_Internal'
      AND EXISTS (
        SELECT 1 FROM model_version_tags AS tags
        WHERE tags.name = versions.name AND tags.version = versions.version AND tags.key = 'verdict')
      AND :count = (
        SELECT COUNT(*) FROM model_version_tags AS tags
        JOIN json_each(:tags) AS wanted ON tags.key = wanted.key AND tags.value = wanted.value
        WHERE tags.name = versions.name AND tags.version = versions.version)
"""
CHAMPION = "SELECT version FROM registered_model_aliases WHERE name = :name AND alias = 'champion'"


def known_version(database: Path | None, *, name: str, tags: Mapping[str, str]) -> int | None:
    """The newest version of a registered model that has all these tags and a verdict, or None.

    Args:
        database: MLflow's SQLite file, if it has one; it is only read.
        name: of the registered model.
        tags: what the version must be tagged with.
    """
    values = {"name": name, "tags": json.dumps(dict(tags)), "count": len(tags)}
    return _ask(database, QUERY, values)


def champion_version(database: Path | None, *, name: str) -> int | None:
    """The version under the alias `champion`, or None."""
    return _ask(database, CHAMPION, {"name": name})


def _ask(database: Path | None, query: str, values: Mapping[str, object]) -> int | None:
    if database is None:
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(query, values).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None or row[0] is None else int(row[0])
