"""Optuna's dashboard for the project's studies: `python -m glioseg.mlops.tuning.dashboard PORT`.

The program `optuna-dashboard` takes the database's address as an argument, so that every user who lists the
processes of the machine could read the password in it.
"""

import sys
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning.study import open_optuna_storage

HOST = "127.0.0.1"
"""The dashboard has no password, so it is reachable from this machine only."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection: browsers open idle connections, which would block a single thread."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the page sends requests every few seconds."""


def serve_studies(storage: ProjectStorage, port: int) -> None:
    """Serve the dashboard until Ctrl-C.

    Args:
        storage: its database holds the studies.
        port: on `HOST`.

    Raises:
        DatabaseError: the database cannot be used.
        GliosegError: the port is taken.
    """
    app = wsgi(open_optuna_storage(storage))
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Handler)
    except OSError as error:
        advice = f"choose another: make studies PORT={port + 1}"
        raise GliosegError(f"{HOST}, port {port}: {error.strerror}; {advice}") from None
    print(f"studies: http://{HOST}:{port}, until Ctrl-C", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def main(words: list[str]) -> None:
    """Serve the dashboard for the current project."""
    if len(words) != 1 or not words[0].isdecimal():
        sys.exit(f"glioseg.mlops.tuning.dashboard: expected a port, got {' '.join(words) or 'nothing'}")
    with one_line_errors("studies"):
        serve_studies(ProjectStorage.current(), int(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
