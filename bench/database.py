"""PostgreSQL as its own statistics see it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import sqlalchemy as sa

SETTLE_S = 11.0
"""A connection that has become idle tells what it did after ten seconds at the latest."""
EVERY_S = 1.0
COUNTERS = sa.text(
    "SELECT xact_commit AS commits, xact_rollback AS rollbacks, deadlocks"
    " FROM pg_stat_database WHERE datname = current_database()"
)
CONNECTIONS = sa.text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")


def counters(engine: sa.Engine) -> dict[str, int]:
    """Transactions that were committed and rolled back, and deadlocks, once every connection has told."""
    time.sleep(SETTLE_S)
    with engine.connect() as connection:
        return dict(connection.execute(COUNTERS).mappings().one())


@contextmanager
def counted(engine: sa.Engine) -> Iterator[dict[str, int]]:
    """What `counters` grow by in the block, once it has ended."""
    grown: dict[str, int] = {}
    before = counters(engine)
    yield grown
    grown |= {name: count - before[name] for name, count in counters(engine).items()}


@contextmanager
def connections(engine: sa.Engine) -> Iterator[list[int]]:
    """How many connections are open, looked at once a second until the block ends."""
    seen: list[int] = []
    stop = Event()

    def look() -> None:
        with engine.connect() as connection:
            while not stop.wait(EVERY_S):
                seen.append(connection.scalar(CONNECTIONS) - 1)  # without this one

    thread = Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
