"""`glioseg serve`: the options of the HTTP service, and the socket that it listens on."""

import errno
import os
import socket
import sys
from ipaddress import ip_address
from typing import Annotated

import typer

from glioseg.core.errors import GliosegError, one_line_errors

Model = Annotated[
    str | None,
    typer.Option(
        show_default="models:/glioseg@champion, or builtin if none is registered",
        help="Registered model (its alias is followed), folder with model.keras, builtin or"
        " builtin-synthetic.",
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on; any but a loopback address requires a token.")]
Port = Annotated[int, typer.Option(min=1, max=65535)]
Queue = Annotated[int, typer.Option(min=0, help="Maximum number of waiting requests.")]
Timeout = Annotated[float, typer.Option(min=1, help="Maximum seconds for a request, including its waiting.")]
MaxUpload = Annotated[
    float,
    typer.Option(min=1, help="Maximum MB of a request, and of each decompressed file at 8 bytes a voxel."),
]


def serve(
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    queue: Queue = 16,
    timeout_s: Timeout = 120,
    max_upload_mb: MaxUpload = 256,
) -> None:
    """Start the HTTP service, which segments cases and has a web page: http://127.0.0.1:8000.

    If GLIOSEG_TOKEN is set, clients must send it as `Authorization: Bearer …`. After SIGTERM the service
    completes the accepted requests and stops. See docs/serving.md.
    """
    token = os.environ.get("GLIOSEG_TOKEN") or None
    if not token and not _is_loopback(host):
        sys.exit(f"glioseg serve: {host}: set GLIOSEG_TOKEN to listen beyond this machine")
    with one_line_errors("glioseg serve"), take_port(host, port) as listening:
        from glioseg.serving.app import Service  # FastAPI, MLflow and TensorFlow take seconds to import
        from glioseg.serving.model_reloader import ModelReloader
        from glioseg.serving.request_queue import RequestQueue
        from glioseg.serving.server import run

        reloader = ModelReloader(model)
        requests = RequestQueue(capacity=queue + 1, timeout_s=timeout_s)
        run(Service(reloader, requests, int(max_upload_mb * 1e6), token), listening)


def take_port(host: str, port: int) -> socket.socket:
    """Listen on an address before the model is loaded; early clients wait until the service runs.

    `SO_REUSEADDR` lets a restarted service take its port again at once. With this option a second socket
    could take a port that is bound but not listening, so the socket listens immediately.

    Args:
        host: name or address of this machine.
        port: 0 for any free port.

    Raises:
        GliosegError: the port is in use, or the address is not one of this machine.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        advice = f"; choose another: --port {port + 1}" if error.errno == errno.EADDRINUSE else ""
        raise GliosegError(f"{host}, port {port}: {error.strerror}{advice}") from None
    return listening


def _is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only.

    >>> _is_loopback("127.0.0.1"), _is_loopback("localhost"), _is_loopback("::1"), _is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
