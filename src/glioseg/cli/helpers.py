"""Tune workers on a cluster: one task a worker, which starts `glioseg tune-worker` beside it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from glioseg.cluster import CLUSTER
from glioseg.cluster.worker import threads_here, wanted
from glioseg.lab.addresses import DATABASE_URL

LOOK_S = 1.0
"""How often a task looks whether its command has ended, and whether it is still wanted."""
COMMAND = (sys.executable, "-m", "glioseg.cli.tethered", "tune-worker")
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Helper:
    """Starts a tune worker where it is called. `host` started it; `database_url` is what all share."""

    host: str
    database_url: str | None

    def __call__(self, number: int) -> str:
        """Run a tune worker until the study is finished, or nobody waits for that any more.

        It is a process of its own, since TensorFlow keeps what memory it once took, and since a thread
        of Dask's cannot be interrupted.

        Returns:
            What went wrong, with the name of the machine; empty if nothing did.
        """
        here = socket.gethostname()
        if here != self.host and not self.database_url:
            return f"{here}: {DATABASE_URL}: expected a database that all machines reach, got none"
        error = _run(self._environment())
        return f"{here}: {error}" if error else ""

    def _environment(self) -> Mapping[str, str]:
        threads = threads_here()
        limits = dict.fromkeys(THREADS, str(threads)) if threads else {}
        own = {
            name: value for name, value in os.environ.items() if name != CLUSTER
        }  # it is one of the cluster's
        return own | limits | ({DATABASE_URL: self.database_url} if self.database_url else {})


def _run(environment: Mapping[str, str]) -> str:
    """Run the command; the last line that it said on stderr, if it failed."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stderr=said, env=environment) as process,
    ):
        while process.poll() is None and wanted():
            time.sleep(LOOK_S)
        assert process.stdin
        process.stdin.close()
        if process.wait() == 0:
            return ""
        said.seek(0)
        return (said.read().strip().splitlines() or ["it was killed"])[-1]
