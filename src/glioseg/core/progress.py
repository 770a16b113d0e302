"""Progress that a person can follow, in a terminal and in a log file alike."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_EVERY_S = 10.0
T = TypeVar("T")


def track(items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
    """Yield the items and show how many are done and how long the rest will take.

    Args:
        items: anything to iterate over.
        title: what is being done, e.g. "crop".
        total: how many items there will be.
    """
    follow = _bar if sys.stderr.isatty() else _lines
    yield from follow(items, title, total)


def _bar(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        yield from progress.track(items, total=total, description=title)


def _lines(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            left_s = (now - start) / done * (total - done)
            print(f"{title}: {done}/{total}, {now - start:.0f} s, about {left_s:.0f} s left", flush=True)
