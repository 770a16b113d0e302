"""Work in a process of its own beside a worker: with memory, threads and random numbers of its own.

`python -m glioseg.compute.isolated` is that process. Its standard input brings the work, and is its tether: the
kernel closes it when the worker dies, however that happens.
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

from glioseg.compute.dask_worker import wanted
from glioseg.compute.errors import ClusterError
from glioseg.core.errors import one_line

LOOK_S = 1.0
"""How often a worker looks whether the work has ended, and whether somebody still waits for it."""
AGAIN_S = 20.0
"""How long work that was told to end may take to do so before it is told again."""
MENDABLE = 3
"""Exit code of a process whose last line says what a user can mend; Python's own, after a traceback, is 1."""


def run_apart(work: Callable[[], object], *, variables: Mapping[str, str]) -> None:
    """Call a function in a new process, and wait until it ends.

    It is ended, as by Ctrl-C, when nobody waits for it any more or when this process dies.

    Args:
        work: picklable.
        variables: environment variables that it finds beside those of this process.

    Raises:
        ClusterError: it was killed, or a user can mend what failed; the last line that it said of that.
        RuntimeError: anything else failed; all that it said, with its traceback.
    """
    command, environment = [sys.executable, "-m", "glioseg.compute.isolated"], {**os.environ, **variables}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said, env=environment) as process,
    ):
        assert process.stdin
        with suppress(BrokenPipeError):  # it has ended already, and said why
            process.stdin.write(pickle.dumps(work))
            process.stdin.flush()
        while process.poll() is None and wanted():
            time.sleep(LOOK_S)
        with suppress(BrokenPipeError):
            process.stdin.close()
        if code := process.wait():
            said.seek(0)
            text = said.read().strip()
            if code > 0 and code != MENDABLE:
                raise RuntimeError(f"the process beside the worker failed:\n{text}")
            raise ClusterError((text.splitlines() or ["the process was killed"])[-1])


def main() -> None:
    """Do the work that comes in."""
    work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_worker, daemon=True).start()
    try:
        with one_line(stopped="stopped"):
            work()
    except (SystemExit, KeyboardInterrupt) as end:
        print(end, file=sys.stderr)
        sys.exit(MENDABLE)


def _end_with_worker() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    while True:  # Python loses an interrupt that comes while it clears away an object
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
