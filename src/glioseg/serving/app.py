"""The HTTP service: its routes, as FastAPI has them."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from glioseg.serving.errors import Refusal, RequestError
from glioseg.serving.metrics import Counters
from glioseg.serving.middleware import Door, answer_error, check_token
from glioseg.serving.model_reloader import Follower
from glioseg.serving.request_queue import Line
from glioseg.serving.sample_case import sample_file
from glioseg.serving.schemas import Ready, Reply, Turn
from glioseg.serving.segmentation import Segmented, segment
from glioseg.serving.uploads import MULTIPART, form_schema, read_upload

HERE = Path(__file__).parent
JSON, GZIP = "application/json", "application/gzip"
FILE: dict[str, Any] = {"content": {GZIP: {"schema": {"type": "string", "format": "binary"}}}}
Role = Literal["t1", "t1ce", "t2", "flair", "seg"]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


@dataclass(frozen=True)
class Service:
    """All that the routes need. `most_bytes`: of a request, and of a file once inflated."""

    follower: Follower
    line: Line
    most_bytes: int
    token: str | None = None


def make_app(service: Service) -> FastAPI:
    """Make the application.

    Args:
        service: its parts; nothing of them is started here.
    """
    app = FastAPI(
        title="glioseg",
        version=version("glioseg"),
        description="Brain tumours in MRI, segmented by a registered model.",
        docs_url=None,
        redoc_url=None,
    )
    counters = Counters(service.follower, service.line)
    _add_problems(app)
    _add_states(app, service)
    _add_work(app, service, counters)
    _add_pages(app)
    app.add_middleware(Door, counters=counters, follower=service.follower)
    return app


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of errors."""
    return {status: {"model": Refusal, "description": HTTPStatus(status).phrase} for status in statuses}


def _add_problems(app: FastAPI) -> None:
    """One form for all errors."""

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = RequestError(error.status_code, "bad_request", HTTPStatus(error.status_code).phrase.lower())
        answer = await answer_error(request, problem)
        answer.headers.update(error.headers or {})
        return answer

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await answer_error(
            request, RequestError(404, "bad_request", first["msg"], str(first["loc"][-1]))
        )

    app.add_exception_handler(RequestError, answer_error)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)


def _add_states(app: FastAPI, service: Service) -> None:
    """Whether the service lives, and whether it answers."""
    follower, line = service.follower, service.line

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Answers as long as the process lives."""
        return "ok\n"

    @app.get("/readyz", responses=_refusals(503))
    async def readyz() -> Ready:
        """Which version answers; 503 once the service is stopping."""
        if line.closed:
            raise RequestError(503, "stopping", "the service is stopping")
        now = follower.current
        return Ready(
            model=now.model,
            version=now.version,
            problem=follower.problem,
            requests=len(line),
            typical_seconds=line.typical_s,
        )


def _add_work(app: FastAPI, service: Service, counters: Counters) -> None:
    """What a token guards, where there is one."""

    async def guard(credentials: Credentials) -> None:
        check_token(credentials.credentials if credentials else None, token=service.token)

    guarded: dict[str, Any] = {"dependencies": [Depends(guard)]}
    _add_segment(app, service, counters, guarded)

    @app.get("/requests/{name}", responses=_refusals(401), response_model_exclude_none=True, **guarded)
    async def turn(name: str) -> Turn:
        """Where a request stands that was sent with this `X-Request-ID`, 32 hexadecimal digits."""
        ahead = service.line.ahead(name)
        if ahead is None:
            return Turn(state="unknown")
        return Turn(state="waiting", ahead=ahead) if ahead else Turn(state="running")

    @app.get("/sample/{role}.nii.gz", responses={**_refusals(401, 404), 200: FILE}, **guarded)
    def sample(role: Role) -> Response:
        """A file of the built-in sample case."""
        return Response(sample_file(role), media_type=GZIP)

    @app.get("/metrics", response_class=PlainTextResponse, responses=_refusals(401), **guarded)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(counters.page(), media_type=CONTENT_TYPE_LATEST)


def _add_segment(app: FastAPI, service: Service, counters: Counters, guarded: dict[str, Any]) -> None:
    form = {"requestBody": {"required": True, "content": {MULTIPART: {"schema": form_schema()}}}}
    answers = {**_refusals(400, 401, 413, 415, 422, 503, 504), 200: FILE}

    @app.post("/segment", response_model=Reply, responses=answers, openapi_extra=form, **guarded)
    async def segment_case(request: Request) -> Response:
        """Segment a case, of which any modality may be missing.

        The answer is JSON, or with `Accept: application/gzip` the label map alone.
        """
        begun = time.perf_counter()
        try:
            segmented = await _segment(request, service)
        except RequestError as error:
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                counters.refused(error.rule or error.code)
            raise
        counters.segmented(time.perf_counter() - begun)
        return _response(request, segmented)


async def _segment(request: Request, service: Service) -> Segmented:
    """Read a request's files and have them segmented in their turn, by the version that is current then."""

    def work() -> Segmented:
        return segment(service.follower.current, upload, most_bytes=service.most_bytes)

    async with service.line.place(request.state.name) as place:
        upload = await read_upload(request, most_bytes=service.most_bytes)
        return await service.line.work(place, work, gone=request.receive())


def _response(request: Request, segmented: Segmented) -> Response:
    headers = {"X-Glioseg-Version": segmented.version.version}
    if GZIP in request.headers.get("Accept", ""):
        return Response(segmented.label_map, headers=headers, media_type=GZIP)
    return Response(segmented.reply.model_dump_json(), headers=headers, media_type=JSON)


def _add_pages(app: FastAPI) -> None:
    """Files that anybody may read: the page, and Swagger UI for the documentation."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(HERE / "page" / "index.html")

    app.mount("/page", StaticFiles(directory=HERE / "page", check_dir=False))
    app.mount("/docs", StaticFiles(directory=HERE / "swagger", html=True))
