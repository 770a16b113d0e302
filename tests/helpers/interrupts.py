"""Commands and stages that receive SIGINT at a chosen moment."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.helpers.progress import PROGRESS
from tests.helpers.waiting import TIMEOUT_S, until

IMPORT_TIMES = re.compile(r"import time: ")
"""Lines that Python prints for PYTHONPROFILEIMPORTTIME."""


@dataclass(frozen=True)
class Interruptible:
    """A process in its own process group, whose output goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    def out(self) -> str:
        return (self.folder / "out").read_text()

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def wait_for(self, text: str) -> None:
        """Wait until the process prints a text to stdout or stderr."""

        def printed() -> bool:
            assert self.process.poll() is None, self.err()
            return text in self.out() + self.err()

        until(printed, text, every_s=0.01)

    def interrupt(self, *, group: bool) -> tuple[int, list[str]]:
        """Send SIGINT to the process alone, or to its whole group, as a terminal does.

        Returns:
            The exit code and the lines on stderr but those of progress; all child processes have ended.
        """
        children = psutil.Process(self.process.pid).children(recursive=True)
        (os.killpg if group else os.kill)(self.process.pid, signal.SIGINT)
        code = self.process.wait(TIMEOUT_S)
        _, alive = psutil.wait_procs(children, TIMEOUT_S)
        assert not alive
        lines = self.err().splitlines()
        return code, [line for line in lines if not (IMPORT_TIMES.match(line) or PROGRESS.fullmatch(line))]


@contextmanager
def started(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str], cwd: Path
) -> Iterator[Interruptible]:
    """Start a command that receives SIGINT, even if the tests run in the background, where it is ignored.

    Args:
        command: its words.
        folder: a new folder for its output.
        environment: environment of the command.
        cwd: its working directory.
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
