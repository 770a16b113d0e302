"""Runs the service until it is told to stop, and then until all that was begun is answered."""

import ctypes
import logging
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from glioseg.serving.app import Service, make_app
from glioseg.serving.request_queue import Line

M_ARENA_MAX = -8
"""Of glibc's malloc.h: the most heaps that its threads may keep."""


class _Server(uvicorn.Server):
    """At a first signal it refuses what comes and ends once the line is empty; at a second, at once."""

    def __init__(self, config: uvicorn.Config, line: Line) -> None:
        super().__init__(config)
        self._line = line

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self._line.closed
        self._line.closed = True

    async def on_tick(self, counter: int) -> bool:
        if self._line.closed and (self.force_exit or not len(self._line)):
            self.should_exit = True
        return await super().on_tick(counter)


def run(service: Service, taken: socket.socket) -> None:
    """Serve until a signal.

    Args:
        service: its model is loaded already.
        taken: as from `port.take_port`.
    """
    _log_to_stderr()
    _share_heaps()
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(service.line.limit_s),
    )
    service.follower.start()
    try:
        _Server(config, service.line).run(sockets=[taken])
    finally:
        service.follower.stop()
        service.line.close()


def _share_heaps() -> None:
    """Let all threads share two heaps: with one each, what a case took stays with the thread that read it."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    for name in ("glioseg.serving", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)
