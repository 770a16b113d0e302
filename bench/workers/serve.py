"""The worker's side of `bench.worker`: one JSON request a line in, one JSON reply a line out."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def serve(*calls: Callable) -> None:
    """Answer requests until stdin ends; what anything prints goes to stderr."""
    known = {call.__name__: call for call in (*calls, peak_gb)}
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"value": known[request["call"]](**request["given"])}
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def peak_gb() -> float:
    """The most memory that this process has ever held."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e9
