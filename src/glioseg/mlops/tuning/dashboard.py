"""Optuna's dashboard on the studies of a lab: `python -m glioseg.mlops.tuning.dashboard PORT`.

The program `optuna-dashboard` takes the database's address as an argument: whoever lists the processes of the
machine could then read the password in it.
"""

import sys
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from glioseg.core.errors import GliosegError, one_line
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning.study import open_storage

HOST = "127.0.0.1"
"""The dashboard asks for no password: only this machine reaches it."""


class _Server(ThreadingMixIn, WSGIServer):
    """Browsers open connections ahead of need, and one that is idle would keep a single thread busy."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page asks again every few seconds."""


def serve_studies(lab: Lab, port: int) -> None:
    """Show the studies until Ctrl-C.

    Args:
        lab: whose database keeps them.
        port: on `HOST`.

    Raises:
        DatabaseError: there is no database to use.
        GliosegError: the port is taken.
    """
    app = wsgi(open_storage(lab))
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Handler)
    except OSError as error:
        raise GliosegError(f"{HOST}, port {port}: {error.strerror}") from None
    print(f"studies: http://{HOST}:{port}, until Ctrl-C", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def main(words: list[str]) -> None:
    """Show the studies of the lab here."""
    if len(words) != 1 or not words[0].isdecimal():
        sys.exit(f"glioseg.mlops.tuning.dashboard: expected a port, got {' '.join(words) or 'nothing'}")
    with one_line("studies"):
        serve_studies(Lab.here(), int(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
