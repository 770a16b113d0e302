"""Progress of long loops on stderr: a bar in a terminal, lines in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
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
    """Yield the items, and show how many are done and an estimate of the remaining time.

    Args:
        items: an iterable of `total` items.
        title: name of the work, e.g. "crop"; without a name, nothing is shown.
        total: number of items.
    """
    if not title:
        yield from items
        return
    show = _progress_bar if sys.stderr.isatty() else _log_lines
    yield from show(items, title, total)


def _progress_bar(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=title)


def _log_lines(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            left_s = (now - start) / done * (total - done)
            line = f"{title}: {done}/{total}, {now - start:.0f} s, about {left_s:.0f} s left"
            print(line, file=sys.stderr, flush=True)
