"""Commands and stages that are sent SIGINT at a chosen moment, and what is left of them."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.helpers.waiting import LATEST_S, until

NOT_OURS = re.compile(r"import time: ")
"""Lines that Python prints where it is asked for the times of imports."""


@dataclass(frozen=True)
class Interruptible:
    """A process in a group of its own, whose output goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    def out(self) -> str:
        return (self.folder / "out").read_text()

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def wait_for(self, text: str) -> None:
        """Wait until it prints a text, on whichever stream."""

        def printed() -> bool:
            assert self.process.poll() is None, self.err()
            return text in self.out() + self.err()

        until(printed, text, every_s=0.01)

    def interrupt(self, *, group: bool) -> tuple[int, list[str]]:
        """Send SIGINT, to the process alone or to all of its group, as a terminal does.

        Returns:
            The exit code and the lines on stderr; none of its child processes lives any more.
        """
        children = psutil.Process(self.process.pid).children(recursive=True)
        (os.killpg if group else os.kill)(self.process.pid, signal.SIGINT)
        code = self.process.wait(LATEST_S)
        _, alive = psutil.wait_procs(children, LATEST_S)
        assert not alive
        return code, [line for line in self.err().splitlines() if not NOT_OURS.match(line)]


@contextmanager
def started(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str], cwd: Path
) -> Iterator[Interruptible]:
    """Start a command that Ctrl-C reaches, even where these tests run in the background, which ignores it.

    Args:
        command: its words.
        folder: a new one for its output.
        environment: of the command.
        cwd: where it runs.
    """
    folder.mkdir()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield Interruptible(process, folder)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
