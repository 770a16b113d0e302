"""A worker: a process of its own that prepares something and then answers requests, one line each.

TensorFlow and PyTorch never share a process. Two workers wait side by side while this process asks
now one, now the other, so that whatever slows the machine down meets both.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.machine import CORES, PEER_BIN

SCRIPTS = Path(__file__).parent / "workers"
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": str(CORES),
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class WorkerError(RuntimeError):
    """A worker that failed or died; the message says where its log lies."""


class Worker:
    """One running script of bench/workers; a context manager that ends it.

    Args:
        script: its file name; those named `ours_…` run in glioseg's environment, others in the peers'.
        log: what the script prints is added to this file.
        environment: more variables for it.
    """

    def __init__(self, script: str, *, log: Path, environment: dict[str, str] | None = None) -> None:
        self.script, self.log = script, log
        log.parent.mkdir(parents=True, exist_ok=True)
        python = sys.executable if script.startswith("ours_") else PEER_BIN / "python"
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                [python, SCRIPTS / script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | QUIET | (environment or {}),
            )

    def ask(self, call: str, **given: object) -> Any:
        """Let the worker make a call, and return its answer.

        Raises:
            WorkerError: the call raised, or the worker died.
        """
        try:
            print(
                json.dumps({"call": call, "given": given}, default=str), file=self._process.stdin, flush=True
            )
            reply = json.loads(self._process.stdout.readline() or "{}")
        except BrokenPipeError:
            reply = {}
        if "value" not in reply:
            reason = reply.get("error", "the process died")
            raise WorkerError(f"{self.script}: {call}: {reason}; see {self.log}")
        return reply["value"]

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
