"""The line in which requests wait: cases are segmented one at a time, and only so many may wait."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from glioseg.serving.errors import RequestError

T = TypeVar("T")
CLIENT_GONE = 499
"""Nobody reads this status but the log: nginx's own for a client that closed the connection."""


@dataclass(eq=False)
class Place:
    """One request's place in the line, from before its files arrive until its work has ended.

    `name` is the client's: several places may have the same one.
    """

    name: str
    job: "Future[Any] | None" = None


@dataclass
class Line:
    """Places for a few requests, and one thread that works for them in turn.

    `places`: requests that may be there at a time, the one that is worked on among them; `limit_s`: how
    long a request may take, its upload and its waiting included; `closed`: nobody else is let in.
    """

    places: int
    limit_s: float
    closed: bool = False
    _taken: dict[Place, None] = field(default_factory=dict)  # in their order; dict: each is removed at once
    _recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    _worker: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="segment")
    )

    def __len__(self) -> int:
        """Requests that have a place."""
        return len(self._taken)

    @property
    def typical_s(self) -> float | None:
        """Mean seconds of the latest work; None before the first."""
        recent = list(self._recent_s)
        return sum(recent) / len(recent) if recent else None

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[Place]:
        """Take a place for as long as the block, or its work, lasts.

        Args:
            name: for `ahead`; requests of the same name have a place each.

        Raises:
            RequestError: 503, there is none left; 504, the time limit passed.
        """
        self._admit()
        place = Place(name)
        self._taken[place] = None
        try:
            async with asyncio.timeout(self.limit_s):
                yield place
        except TimeoutError:
            raise RequestError(504, "timeout", f"no answer within {self.limit_s:g} s") from None
        finally:
            if place.job is None or place.job.cancel() or place.job.done():
                self._taken.pop(place, None)
            else:  # what has begun cannot be stopped, and holds its place until it ends
                place.job.add_done_callback(lambda _: self._taken.pop(place, None))

    def _admit(self) -> None:
        if self.closed:
            raise RequestError(
                503, "stopping", "the service is stopping", retry_after_s=self._retry_after_s()
            )
        if len(self._taken) >= self.places:
            message = f"{len(self._taken)} requests are waiting already"
            raise RequestError(503, "busy", message, retry_after_s=self._retry_after_s())

    def _retry_after_s(self) -> int:
        """A place is free once the case that is worked on is done."""
        return max(1, math.ceil(self.typical_s or 1))

    async def work(self, place: Place, work: Callable[[], T], *, gone: Awaitable[object]) -> T:
        """Have work done in this place's turn.

        Args:
            place: as from `place`, whose block this is called in.
            work: runs in the line's thread.
            gone: ends when nobody waits for the answer any more; work that has not begun is then dropped.

        Raises:
            RequestError: nobody waits any more.
        """
        self._taken[place] = self._taken.pop(place)  # those who work waits for, in their order
        job = self._worker.submit(self._timed, work)
        place.job = job
        done: asyncio.Future[T] = asyncio.wrap_future(job)
        leaving = asyncio.ensure_future(gone)
        both: list[asyncio.Future[Any]] = [done, leaving]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            done.cancel()  # nothing happens where it is done
        if done.cancelled():
            raise RequestError(CLIENT_GONE, "gone", "the client has gone")
        return done.result()

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self._recent_s.append(time.perf_counter() - begun)

    def ahead(self, name: str) -> int | None:
        """How many are worked for before the first request of a name: 0 once it is its turn.

        Returns:
            None where no request of that name has a place.
        """
        ready = [place.name for place in list(self._taken) if place.job or place.name == name]
        return ready.index(name) if name in ready else None

    def close(self) -> None:
        """End the thread, once all that was begun is done."""
        self._worker.shutdown()
