"""A Dask scheduler and workers of one thread each, as separate processes of this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.helpers.servers import free_port

START_S = 120


@dataclass(frozen=True)
class Hosts:
    """A scheduler's address and process."""

    address: str
    scheduler_pid: int

    @property
    def scheduler_gb(self) -> float:
        """The most memory that the scheduler has ever held."""
        lines = Path(f"/proc/{self.scheduler_pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) * 1024 / 1e9

    @property
    def scheduler_s(self) -> float:
        """Seconds of a processor that the scheduler has used."""
        used = psutil.Process(self.scheduler_pid).cpu_times()
        return used.user + used.system


@contextmanager
def dask_hosts(workers: int, *, cwd: Path, env: Mapping[str, str], log: Path) -> Iterator[Hosts]:
    """Run a scheduler and workers until the block ends; it begins once all workers are there.

    Args:
        workers: how many.
        cwd: the project's folder, in which they all work.
        env: what they find around them.
        log: what they say is added to this file.
    """
    from distributed import Client

    port = free_port()
    address, common = f"tcp://127.0.0.1:{port}", ["--no-dashboard"]
    with ExitStack() as stack:

        def start(*words: str) -> int:
            return stack.enter_context(
                _running([sys.executable, "-m", "dask", *words, *common], cwd, env, log)
            )

        scheduler_pid = start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        for _ in range(workers):
            start("worker", address, "--nthreads", "1", "--local-directory", str(log.parent / "dask"))
        with Client(address, timeout=START_S) as client:
            client.wait_for_workers(workers, timeout=START_S)
        yield Hosts(address, scheduler_pid)


@contextmanager
def _running(words: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> Iterator[int]:
    """A process in a group of its own, which is ended whole: a worker has a nanny."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as said:
        process = subprocess.Popen(words, cwd=cwd, env=env, stdout=said, stderr=said, start_new_session=True)
    try:
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
