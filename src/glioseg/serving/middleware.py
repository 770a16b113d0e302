"""What every request passes: a name, a line in the log, safe headers; and no stack trace leaves."""

import hmac
import logging
import re
import secrets
import time
import traceback
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glioseg.serving.errors import RequestError
from glioseg.serving.metrics import Counters
from glioseg.serving.model_reloader import Follower

LOG = logging.getLogger("glioseg.serving")
NAME = re.compile(r"[0-9a-f]{32}")
"""What a client may call its request."""

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:;"
    " style-src 'self' 'unsafe-inline'; connect-src 'self' blob: data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Door:
    """An ASGI application around another one.

    The log says nothing that a client wrote: paths of files or patients' names may be in it.
    """

    app: ASGIApp
    counters: Counters
    follower: Follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = scope.setdefault("state", {})["name"] = _name(scope)
        begun, status = time.perf_counter(), 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(SAFE | {"X-Request-ID": name})
            await send(message)

        try:
            await self.app(scope, receive, send_safely)
        except Exception as error:
            LOG.error("%s %s at %s", name, type(error).__name__, _place(error))
            if not status:
                await _answer(RequestError(500, "internal", f"a fault of the service: {name}"))(
                    scope, receive, send_safely
                )
        route = getattr(scope.get("route"), "path", "other")
        self.counters.answered(route=route, status=status)
        seconds = time.perf_counter() - begun
        LOG.info("%s %s %d %.3f s version %s", name, route, status, seconds, self.follower.current.version)


def _name(scope: Scope) -> str:
    given = Headers(scope=scope).get("X-Request-ID", "")
    return given if NAME.fullmatch(given) else secrets.token_hex(16)


def _place(error: Exception) -> str:
    """Where it was raised, without its message, which may quote a header."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _answer(problem: RequestError) -> Response:
    return Response(problem.body, problem.status, problem.headers)


async def answer_error(_: Request, problem: Exception) -> Response:
    """Say a `RequestError` to the client, as a handler of Starlette's."""
    assert isinstance(problem, RequestError)
    return _answer(problem)


def check_token(given: str | None, *, token: str | None) -> None:
    """Hold a client's token to the service's own; where this has none, anybody may ask.

    Raises:
        RequestError: 401.
    """
    if token and not hmac.compare_digest((given or "").encode(), token.encode()):
        raise RequestError(401, "unauthorised", "expected the service's token: Authorization: Bearer …")
