"""The request queue: cases are segmented one at a time, in their order, and only a few requests may wait."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from glioseg.serving.schemas import RequestError

T = TypeVar("T")
CLIENT_CLOSED = 499
"""nginx's status for a client that closed the connection; it appears in the log only."""


@dataclass(eq=False)
class Slot:
    """The position of one request in the queue, reserved from before its files arrive until its work ends.

    `request_id` comes from the client, so several slots may have the same one.
    """

    request_id: str
    job: "Future[Any] | None" = None


@dataclass
class RequestQueue:
    """Slots for a few requests, and one thread that processes them in order.

    `capacity`: maximum number of requests, including the one being processed; `timeout_s`: maximum time of a
    request, including its upload and its waiting; `closed`: no further requests are accepted.
    """

    capacity: int
    timeout_s: float
    closed: bool = False
    _slots: dict[Slot, None] = field(default_factory=dict)  # ordered, and a slot is removed in constant time
    _recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    _worker: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="segment")
    )

    def __len__(self) -> int:
        """Number of requests in the queue."""
        return len(self._slots)

    @property
    def mean_s(self) -> float | None:
        """Mean processing time of the latest requests; None before the first."""
        recent = list(self._recent_s)
        return sum(recent) / len(recent) if recent else None

    @asynccontextmanager
    async def slot(self, request_id: str) -> AsyncIterator[Slot]:
        """Take a slot until the block ends, or until the work ends if that is later.

        Args:
            request_id: for `ahead`; requests with the same id take one slot each.

        Raises:
            RequestError: 503, the queue is full or closed; 504, the request timed out.
        """
        self._check_capacity()
        slot = Slot(request_id)
        self._slots[slot] = None
        try:
            async with asyncio.timeout(self.timeout_s):
                yield slot
        except TimeoutError:
            raise RequestError(504, "timeout", f"no response within {self.timeout_s:g} s") from None
        finally:
            if slot.job is None or slot.job.cancel() or slot.job.done():
                self._slots.pop(slot, None)
            else:  # running work cannot be stopped: it keeps its slot until it ends
                slot.job.add_done_callback(lambda _: self._slots.pop(slot, None))

    def _check_capacity(self) -> None:
        if self.closed:
            raise RequestError(
                503, "stopping", "the service is stopping", retry_after_s=self._retry_after_s()
            )
        if len(self._slots) >= self.capacity:
            message = f"{len(self._slots)} requests are waiting already"
            raise RequestError(503, "busy", message, retry_after_s=self._retry_after_s())

    def _retry_after_s(self) -> int:
        """Time until the current case is likely to be done, which frees a slot."""
        return max(1, math.ceil(self.mean_s or 1))

    async def run(self, slot: Slot, work: Callable[[], T], *, disconnected: Awaitable[object]) -> T:
        """Run work in the thread of the queue, after all work that was submitted before.

        Args:
            slot: the slot of this request; call this inside its block.
            work: runs in the thread.
            disconnected: completes when the client closes the connection; work that has not started is then
                cancelled.

        Raises:
            RequestError: 499, the client closed the connection.
        """
        self._slots[slot] = self._slots.pop(slot)  # move to the end: slots are in the order of their work
        job = self._worker.submit(self._timed, work)
        slot.job = job
        done: asyncio.Future[T] = asyncio.wrap_future(job)
        leaving = asyncio.ensure_future(disconnected)
        both: list[asyncio.Future[Any]] = [done, leaving]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            done.cancel()  # has no effect on finished work
        if done.cancelled():
            raise RequestError(CLIENT_CLOSED, "gone", "the client closed the connection")
        return done.result()

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self._recent_s.append(time.perf_counter() - begun)

    def ahead(self, request_id: str) -> int | None:
        """Number of requests ahead of the first one with an id: 0 while it is processed.

        Returns:
            None if no request has this id.
        """
        ready = [slot.request_id for slot in list(self._slots) if slot.job or slot.request_id == request_id]
        return ready.index(request_id) if request_id in ready else None

    def close(self) -> None:
        """Stop the thread after all running work has ended."""
        self._worker.shutdown()
