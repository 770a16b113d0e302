"""Run a function in a new process beside a worker, with separate memory, threads and random numbers.

`python -m glioseg.compute.isolated` is the new process. It reads the function from its standard input, and
ends when this is closed: the kernel closes it when the worker dies, however that happens.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from glioseg.compute.dask_worker import task_is_wanted
from glioseg.core.errors import ClusterError, one_line_errors

POLL_S = 1.0
"""Interval at which a worker checks whether the process has ended, and whether its task was cancelled."""
REPEAT_INTERRUPT_S = 20.0
"""Time that an interrupted process has to end before it is interrupted again."""
USER_ERROR_EXIT_CODE = 3
"""Exit code of a process whose last line is an error that a user can fix; after a traceback, it is 1."""


def run_isolated(function: Callable[[], object], *, variables: Mapping[str, str]) -> None:
    """Call a function in a new process, and wait until it ends.

    The new process is interrupted, as by Ctrl-C, if this worker's task is cancelled or this process dies.

    Args:
        function: must be picklable.
        variables: environment variables of the new process, in addition to those of this one.

    Raises:
        ClusterError: the process was killed, or failed with an error that a user can fix; the message is its
            last line.
        RuntimeError: the process failed otherwise; the message is its stderr with the traceback.
    """
    command, environment = [sys.executable, "-m", "glioseg.compute.isolated"], {**os.environ, **variables}
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stderr, env=environment) as process,
    ):
        assert process.stdin
        with suppress(BrokenPipeError):  # it has failed already, and stderr holds the error
            process.stdin.write(pickle.dumps(function))
            process.stdin.flush()
        while process.poll() is None and task_is_wanted():
            time.sleep(POLL_S)
        with suppress(BrokenPipeError):
            process.stdin.close()
        if code := process.wait():
            stderr.seek(0)
            text = stderr.read().strip()
            if code > 0 and code != USER_ERROR_EXIT_CODE:
                raise RuntimeError(f"the process beside the worker failed:\n{text}")
            raise ClusterError((text.splitlines() or ["the process was killed"])[-1])


def main() -> None:
    """Run the function that arrives on the standard input."""
    function = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_interrupt_after_worker_ends, daemon=True).start()
    try:
        with one_line_errors(interrupt_message="stopped"):
            function()
    except (SystemExit, KeyboardInterrupt) as end:
        print(end, file=sys.stderr)
        sys.exit(USER_ERROR_EXIT_CODE)


def _interrupt_after_worker_ends() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    while True:  # Python ignores an interrupt during the destructor of an object
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(REPEAT_INTERRUPT_S)


if __name__ == "__main__":
    main()
