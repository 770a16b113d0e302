"""Runs the service until a signal stops it; accepted requests are completed first."""

import ctypes
import logging
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from glioseg.serving.app import Service, make_app
from glioseg.serving.request_queue import RequestQueue

M_ARENA_MAX = -8
"""Parameter of glibc's mallopt (malloc.h): the maximum number of heaps for all threads."""


class _Server(uvicorn.Server):
    """On a first signal it rejects requests and stops when the queue is empty; a second stops it at once."""

    def __init__(self, config: uvicorn.Config, queue: RequestQueue) -> None:
        super().__init__(config)
        self._queue = queue

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self._queue.closed
        self._queue.closed = True

    async def on_tick(self, counter: int) -> bool:
        if self._queue.closed and (self.force_exit or not len(self._queue)):
            self.should_exit = True
        return await super().on_tick(counter)


def run(service: Service, listening: socket.socket) -> None:
    """Serve until a signal.

    Args:
        service: with a loaded model.
        listening: the socket, from `take_port`.
    """
    _log_to_stderr()
    _limit_heaps()
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(service.queue.timeout_s),
    )
    service.reloader.start()
    try:
        _Server(config, service.queue).run(sockets=[listening])
    finally:
        service.reloader.stop()
        service.queue.close()


def _limit_heaps() -> None:
    """Share two heaps among all threads: with its own heap, a thread would keep the memory of a case."""
    with suppress(AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    for name in ("glioseg.serving", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)
