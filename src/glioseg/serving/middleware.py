"""Middleware for every request: an id, a log line, security headers, and responses without stack traces."""

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

from glioseg.serving.metrics import ServiceMetrics
from glioseg.serving.model_reloader import ModelReloader
from glioseg.serving.schemas import RequestError

LOG = logging.getLogger("glioseg.serving")
REQUEST_ID = re.compile(r"[0-9a-f]{32}")
"""Form of a request id that a client may choose."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:;"
    " style-src 'self' 'unsafe-inline'; connect-src 'self' blob: data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class RequestMiddleware:
    """ASGI middleware around the application.

    The log contains nothing that a client sent, which may include file paths or names of patients.
    """

    app: ASGIApp
    metrics: ServiceMetrics
    reloader: ModelReloader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)
        begun, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(SECURITY_HEADERS | {"X-Request-ID": request_id})
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            LOG.error("%s %s at %s", request_id, type(error).__name__, _raised_at(error))
            if not status:
                await _response(RequestError(500, "internal", f"internal error: {request_id}"))(
                    scope, receive, send_with_headers
                )
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.count_request(route=route, status=status)
        seconds = time.perf_counter() - begun
        version = self.reloader.current.version
        LOG.info("%s %s %d %.3f s version %s", request_id, route, status, seconds, version)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("X-Request-ID", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _raised_at(error: Exception) -> str:
    """The line that raised an error; its message is left out, since it may quote a header."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _response(error: RequestError) -> Response:
    return Response(error.body, error.status, error.headers)


async def error_response(_: Request, error: Exception) -> Response:
    """The response for a `RequestError`, as an exception handler of Starlette."""
    assert isinstance(error, RequestError)
    return _response(error)


def check_token(given: str | None, *, token: str | None) -> None:
    """Compare a client's token with the token of the service; without one, every client is accepted.

    Raises:
        RequestError: 401, the token is missing or wrong.
    """
    if token and not hmac.compare_digest((given or "").encode(), token.encode()):
        raise RequestError(401, "unauthorised", "expected the service's token: Authorization: Bearer …")
