"""`glioseg serve`: segment cases over HTTP."""

import os
import sys
from ipaddress import ip_address
from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.serving.port import take_port

Model = Annotated[
    str | None,
    typer.Option(
        show_default="models:/glioseg@champion, or builtin where there is none",
        help="A registered model, whose alias is followed, a folder that holds model.keras, or builtin.",
    ),
]
Host = Annotated[
    str, typer.Option(help="The address to listen on; others than this machine's own need a token.")
]
Port = Annotated[int, typer.Option(min=1, max=65535)]
Queue = Annotated[int, typer.Option(min=0, help="Requests that may wait while one is worked on.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that a request may take, its waiting included.")]
MaxUpload = Annotated[
    float, typer.Option(min=1, help="MB of a request, and of each file once inflated, at 8 bytes a voxel.")
]


def serve(
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    queue: Queue = 16,
    timeout_s: Timeout = 120,
    max_upload_mb: MaxUpload = 256,
) -> None:
    """Segment cases over HTTP, and show them on a page: http://127.0.0.1:8000.

    Where the environment has GLIOSEG_TOKEN, clients must send it: `Authorization: Bearer …`. SIGTERM stops
    the service once all that it accepted is answered; `docs/serving.md` says more.
    """
    token = os.environ.get("GLIOSEG_TOKEN") or None
    if not token and not _is_loopback(host):
        sys.exit(f"glioseg serve: {host}: set GLIOSEG_TOKEN to listen beyond this machine")
    with one_line("glioseg serve"), take_port(host, port) as taken:
        from glioseg.serving.app import Service  # FastAPI, MLflow and TensorFlow take a while
        from glioseg.serving.model_reloader import Follower
        from glioseg.serving.request_queue import Line
        from glioseg.serving.server import run

        follower, line = Follower(model), Line(places=queue + 1, limit_s=timeout_s)
        run(Service(follower, line, int(max_upload_mb * 1e6), token), taken)


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> _is_loopback("127.0.0.1"), _is_loopback("localhost"), _is_loopback("::1"), _is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
