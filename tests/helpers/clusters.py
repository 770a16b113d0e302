"""Dask schedulers and workers as processes, and work for them that fails in chosen ways."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.helpers.projects import ROOT
from tests.helpers.waiting import TIMEOUT_S, until

DASK = [sys.executable, "-m", "dask"]
PROCESSOR = ("ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "TF_ENABLE_ONEDNN_OPTS")
"""Environment variables that restrict how networks and NumPy compute; workers inherit them from the tests."""
SETTINGS = {
    **{name: os.environ[name] for name in PROCESSOR if name in os.environ},
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
}


@contextmanager
def scheduler(
    folder: Path, *, host: str = "127.0.0.1", before: Sequence[str] = (), settings: Mapping[str, str] = {}
) -> Iterator[str]:
    """Run a scheduler; yields its address.

    Args:
        folder: of its log.
        host: address to listen on.
        before: words before the command, e.g. `ip netns exec NAME`.
        settings: additional environment variables.
    """
    file = folder / "scheduler.json"
    words = ["scheduler", "--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    words += ["--pid-file", str(folder / "scheduler.pid")]
    with running([*before, *DASK, *words], folder / "scheduler.log", settings):
        until(file.exists, "a scheduler")
        yield json.loads(file.read_text())["address"]


@contextmanager
def worker(
    address: str,
    log: Path,
    *,
    words: Sequence[str] = (),
    before: Sequence[str] = (),
    settings: Mapping[str, str] = {},
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of one thread; `words` are more arguments of `dask worker`, the rest as for `scheduler`."""
    command = [*before, *DASK, "worker", address, "--nthreads", "1", "--no-dashboard", *words]
    with running(command, log, settings) as process:
        yield process


@contextmanager
def running(
    command: Sequence[str], log: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process; at the end it is killed with all processes that it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=SETTINGS | dict(settings),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def two_workers(
    address: str, folder: Path, *, words: Sequence[str] = (), settings: Mapping[str, str] = {}
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers that are registered with the scheduler; their logs are one.log and two.log."""
    logs = [folder / f"{name}.log" for name in ("one", "two")]
    with ExitStack() as stack:
        started = [stack.enter_context(worker(address, log, words=words, settings=settings)) for log in logs]
        until(lambda: all("Registered to:" in log.read_text() for log in logs), "two workers")
        yield started


def die_once(mark: Path) -> str:
    """Kill this process once, as if it ran out of memory; a later call succeeds."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name


def die(_: object) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail_at_zero(mark: Path) -> None:
    """Create a file after a while; the first item raises at once."""
    if mark.name == "0":
        raise ValueError("0: broken")
    time.sleep(0.3)
    mark.touch()


def where(_: object) -> tuple[str, int]:
    """The folder and the process of the call; it takes long enough for another worker to take part."""
    time.sleep(0.05)
    return os.getcwd(), os.getpid()


def stay(mark: Path) -> None:
    """Write the id of this process to a file, and run longer than any test waits."""
    mark.write_text(str(os.getpid()))
    time.sleep(6 * TIMEOUT_S)
