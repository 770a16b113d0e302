"""PostgreSQL as the project's database: an address for each schema, and locks that end with their process."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from glioseg.core.errors import GliosegError
from glioseg.core.extras import optional_imports

DRIVER = "postgresql+psycopg"


class DatabaseError(GliosegError):
    """An address without a usable PostgreSQL database."""


def schema_url(url: str, schema: str) -> str:
    """The address of one schema of a database.

    >>> schema_url("postgresql://me:secret@host/db", "optuna")
    'postgresql+psycopg://me:secret@host/db?options=-csearch_path%3Doptuna'
    """
    parsed = _parse(url)
    options = f"{parsed.query.get('options', '')} -csearch_path={schema}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def create_schemas(url: str, names: Iterable[str]) -> None:
    """Create the schemas that do not exist; a user without that right can use existing schemas."""
    with _connect(url) as connection:
        existing = set(connection.scalars(sa.text("SELECT nspname FROM pg_namespace")))
        for name in names:
            if name not in existing:
                _create(connection, name)


def _create(connection: sa.Connection, schema: str) -> None:
    try:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    except DBAPIError as error:
        raise DatabaseError(f"GLIOSEG_DATABASE_URL: no schema {schema}: {_reason(error)}") from None


@contextmanager
def advisory_lock(url: str, name: str, *, waiting: str = "") -> Iterator[None]:
    """Hold a lock in the database until the block ends; the server releases it when the connection ends."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with _connect(url) as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            if waiting:
                print(waiting, flush=True)
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
        yield


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # ValueError: for a port, which may be part of a password
        raise DatabaseError(
            "GLIOSEG_DATABASE_URL: expected postgresql://user:password@host/database, got something else"
        ) from None
    if parsed.get_backend_name() != "postgresql":
        given = _without_password(parsed)
        raise DatabaseError(
            f"GLIOSEG_DATABASE_URL: expected postgresql://user:password@host/database, got {given}"
        )
    return parsed.set(drivername=DRIVER)


def _without_password(parsed: sa.URL) -> str:
    """An address for messages: without its password, which may also be among the options at its end."""
    secret = {name: "hidden" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secret).render_as_string()


@contextmanager
def _connect(url: str) -> Iterator[sa.Connection]:
    """A new connection that commits each statement."""
    parsed = _parse(url)
    try:
        with optional_imports("GLIOSEG_DATABASE_URL"):  # SQLAlchemy imports the driver
            engine = sa.create_engine(parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        connection = engine.connect()
    except DBAPIError as error:
        reason = _reason(error)
        raise DatabaseError(
            f"GLIOSEG_DATABASE_URL: no database at {_without_password(parsed)}: {reason}"
        ) from None
    with connection:
        yield connection


def _reason(error: DBAPIError) -> str:
    """The message of the server, in one line."""
    return " ".join(str(error.orig).split())
