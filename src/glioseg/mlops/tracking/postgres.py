"""PostgreSQL as the lab's database: an address for each schema, and locks that a dead process gives back."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from glioseg.core.errors import GliosegError

DRIVER = "postgresql+psycopg"


class DatabaseError(GliosegError):
    """An address at which there is no PostgreSQL database to use."""


def in_schema(url: str, schema: str) -> str:
    """The address of one schema of a database.

    >>> in_schema("postgresql://me:secret@host/db", "optuna")
    'postgresql+psycopg://me:secret@host/db?options=-csearch_path%3Doptuna'
    """
    parsed = _parse(url)
    options = f"{parsed.query.get('options', '')} -csearch_path={schema}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def create_schemas(url: str, names: Iterable[str]) -> None:
    """Create the schemas that are not there; who may not create any can use those that are."""
    with _connected(url) as connection:
        there = set(connection.scalars(sa.text("SELECT nspname FROM pg_namespace")))
        for name in names:
            if name not in there:
                _create(connection, name)


def _create(connection: sa.Connection, schema: str) -> None:
    try:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    except DBAPIError as error:
        raise DatabaseError(f"GLIOSEG_DATABASE_URL: no schema {schema}: {_reason(error)}") from None


@contextmanager
def advisory_lock(url: str, name: str, *, waiting: str = "") -> Iterator[None]:
    """Hold a lock in the database; the server gives it back when the connection ends, however it does."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with _connected(url) as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            if waiting:
                print(waiting, flush=True)
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
        yield


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port, which may be half a password
        raise DatabaseError(
            "GLIOSEG_DATABASE_URL: expected postgresql://user:password@host/database, got something else"
        ) from None
    if parsed.get_backend_name() != "postgresql":
        raise DatabaseError(
            f"GLIOSEG_DATABASE_URL: expected postgresql://user:password@host/database, got {_shown(parsed)}"
        )
    return parsed.set(drivername=DRIVER)


def _shown(parsed: sa.URL) -> str:
    """An address for a message: without its password, which may also be one of the options at its end."""
    secret = {name: "hidden" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secret).render_as_string()


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """A connection of its own that commits each statement."""
    parsed = _parse(url)
    try:
        connection = sa.create_engine(parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()
    except ModuleNotFoundError:
        raise DatabaseError("PostgreSQL needs its driver: pip install 'glioseg[postgres]'") from None
    except DBAPIError as error:
        reason = _reason(error)
        raise DatabaseError(f"GLIOSEG_DATABASE_URL: no database at {_shown(parsed)}: {reason}") from None
    with connection:
        yield connection


def _reason(error: DBAPIError) -> str:
    """What the server said, in one line."""
    return " ".join(str(error.orig).split())
