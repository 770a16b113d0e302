"""Starts a real server for a test, and makes sure that none is left."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from tests.helpers.waiting import LATEST_S


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(words: Sequence[str], *, port: int, ready: str, **environment: str) -> Iterator[str]:
    """Run a Python module until the block ends; its address, once `<address>/<ready>` answers."""
    address = f"http://127.0.0.1:{port}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow looks for uvicorn there
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=os.environ | {"PATH": path} | environment,
            start_new_session=True,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"{address}/{ready}", process, said)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the workers of a killed server would live on
            process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", said: IO[str]) -> None:
    end = time.monotonic() + LATEST_S
    while time.monotonic() < end:
        if process.poll() is not None:
            said.seek(0)
            raise RuntimeError(f"the server ended: {said.read()}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url}: no answer within {LATEST_S:.0f} s")


def command_lines() -> list[str]:
    """The command lines of all processes that tests started, as every user of the machine can read them."""
    found: list[str] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            found.append(" ".join(process.cmdline()))
    return found
