"""Starts a real server for a test, and stops it with all its processes."""

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

from tests.helpers.waiting import TIMEOUT_S


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(words: Sequence[str], *, port: int, ready: str, **environment: str) -> Iterator[str]:
    """Run a Python module until the block ends; yields its address once `<address>/<ready>` responds."""
    address = f"http://127.0.0.1:{port}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow searches it for uvicorn
    with TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=os.environ | {"PATH": path} | environment,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"{address}/{ready}", process, log)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also stops the workers of the server
            process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: IO[str]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"the server ended: {log.read()}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url}: no response within {TIMEOUT_S:.0f} s")


def command_lines() -> list[str]:
    """The command lines of all processes that tests started, which every user of the machine can read."""
    found: list[str] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # the process has ended meanwhile
            found.append(" ".join(process.cmdline()))
    return found
