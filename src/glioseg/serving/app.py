"""The HTTP service: its routes, as a FastAPI application."""

import time
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.data.cohort.file_names import table
from glioseg.data.phantom import make_case
from glioseg.serving.metrics import ServiceMetrics
from glioseg.serving.middleware import RequestMiddleware, check_token, error_response
from glioseg.serving.model_reloader import ModelReloader
from glioseg.serving.request_queue import RequestQueue
from glioseg.serving.schemas import ErrorResponse, PredictionResponse, QueuePosition, Readiness, RequestError
from glioseg.serving.segmentation import SegmentationResult, segment
from glioseg.serving.uploads import MULTIPART, form_schema, read_upload

FOLDER = Path(__file__).parent
JSON, GZIP = "application/json", "application/gzip"
GZIP_RESPONSE: dict[str, Any] = {"content": {GZIP: {"schema": {"type": "string", "format": "binary"}}}}
SAMPLE_INDEX, SAMPLE_SEED = 0, 2026
"""The phantom that serves as sample case; no preset trains on this seed."""
_SAMPLE_LOCK = Lock()

Role = Literal["t1", "t1ce", "t2", "flair", "seg"]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


@dataclass(frozen=True)
class Service:
    """The parts of the service. `max_bytes`: of a request, and of a decompressed file."""

    reloader: ModelReloader
    queue: RequestQueue
    max_bytes: int
    token: str | None = None


def make_app(service: Service) -> FastAPI:
    """The application.

    Args:
        service: its parts; this function starts none of them.
    """
    app = FastAPI(
        title="glioseg",
        version=version("glioseg"),
        description="Brain tumours in MRI, segmented by a registered model.",
        docs_url=None,
        redoc_url=None,
    )
    metrics = ServiceMetrics(service.reloader, service.queue)
    _add_error_handlers(app)
    _add_state_routes(app, service)
    _add_protected_routes(app, service, metrics)
    _add_static_files(app)
    app.add_middleware(RequestMiddleware, metrics=metrics, reloader=service.reloader)
    return app


def _error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of errors."""
    return {status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase} for status in statuses}


def _add_error_handlers(app: FastAPI) -> None:
    """Give all errors the body of `ErrorResponse`."""

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase.lower()
        response = await error_response(request, RequestError(error.status_code, "bad_request", phrase))
        response.headers.update(error.headers or {})
        return response

    async def invalid_path(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await error_response(
            request, RequestError(404, "bad_request", first["msg"], str(first["loc"][-1]))
        )

    app.add_exception_handler(RequestError, error_response)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid_path)


def _add_state_routes(app: FastAPI, service: Service) -> None:
    """Liveness and readiness of the service."""
    reloader, queue = service.reloader, service.queue

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Return ok as long as the process runs."""
        return "ok\n"

    @app.get("/readyz", responses=_error_responses(503))
    async def readyz() -> Readiness:
        """The model version in use; 503 while the service is stopping."""
        if queue.closed:
            raise RequestError(503, "stopping", "the service is stopping")
        current = reloader.current
        return Readiness(
            model=current.model,
            version=current.version,
            problem=reloader.problem,
            requests=len(queue),
            typical_seconds=queue.mean_s,
        )


def _add_protected_routes(app: FastAPI, service: Service, metrics: ServiceMetrics) -> None:
    """The routes that require the token, if the service has one."""

    async def require_token(credentials: Credentials) -> None:
        check_token(credentials.credentials if credentials else None, token=service.token)

    protected: dict[str, Any] = {"dependencies": [Depends(require_token)]}
    _add_segment(app, service, metrics, protected)

    @app.get(
        "/requests/{name}", responses=_error_responses(401), response_model_exclude_none=True, **protected
    )
    async def queue_position(name: str) -> QueuePosition:
        """The state of the request that was sent with this `X-Request-ID`, 32 hexadecimal digits."""
        ahead = service.queue.ahead(name)
        if ahead is None:
            return QueuePosition(state="unknown")
        return QueuePosition(state="waiting", ahead=ahead) if ahead else QueuePosition(state="running")

    @app.get(
        "/sample/{role}.nii.gz", responses={**_error_responses(401, 404), 200: GZIP_RESPONSE}, **protected
    )
    def sample(role: Role) -> Response:
        """A file of the built-in sample case."""
        return Response(sample_file(role), media_type=GZIP)

    @app.get("/metrics", response_class=PlainTextResponse, responses=_error_responses(401), **protected)
    async def prometheus_metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_segment(app: FastAPI, service: Service, metrics: ServiceMetrics, protected: dict[str, Any]) -> None:
    form = {"requestBody": {"required": True, "content": {MULTIPART: {"schema": form_schema()}}}}
    responses = {**_error_responses(400, 401, 413, 415, 422, 503, 504), 200: GZIP_RESPONSE}

    @app.post(
        "/segment", response_model=PredictionResponse, responses=responses, openapi_extra=form, **protected
    )
    async def segment_case(request: Request) -> Response:
        """Segment a case; modalities may be missing, but not all.

        The response is JSON, or with `Accept: application/gzip` the label map alone.
        """
        begun = time.perf_counter()
        try:
            result = await _segment(request, service)
        except RequestError as error:
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                metrics.count_rejection(error.rule or error.code)
            raise
        metrics.observe_segmentation(time.perf_counter() - begun)
        return _response(request, result)


async def _segment(request: Request, service: Service) -> SegmentationResult:
    """Read the files of a request, and segment them in the queue with the version that is in use then."""

    def work() -> SegmentationResult:
        return segment(service.reloader.current, upload, max_bytes=service.max_bytes)

    async with service.queue.slot(request.state.request_id) as slot:
        upload = await read_upload(request, max_bytes=service.max_bytes)
        return await service.queue.run(slot, work, disconnected=request.receive())


def _response(request: Request, result: SegmentationResult) -> Response:
    headers = {"X-Glioseg-Version": result.version.version}
    if GZIP in request.headers.get("Accept", ""):
        return Response(result.label_map, headers=headers, media_type=GZIP)
    return Response(result.response.model_dump_json(), headers=headers, media_type=JSON)


def sample_file(role: str) -> bytes:
    """A .nii.gz file of the sample case, which is rendered at the first request.

    Args:
        role: one of `modalities.ROLES`.
    """
    with _SAMPLE_LOCK:
        return _sample_files()[role]


@cache
def _sample_files() -> dict[str, bytes]:
    case = make_case(index=SAMPLE_INDEX, seed=SAMPLE_SEED)
    grid = Grid(case.segmentation.shape, case.affine)
    volumes = case.images | {SEGMENTATION: case.segmentation}
    return {role: encode_volume(Volume(data, grid)) for role, data in volumes.items()}


def _add_static_files(app: FastAPI) -> None:
    """What needs no token: the page, its table of file names, and Swagger UI for the documentation."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(FOLDER / "page" / "index.html")

    @app.get("/file-names", include_in_schema=False)
    async def file_names() -> dict[str, object]:
        """The table by which the page recognises files: names of files never leave the browser."""
        return table()

    app.mount("/page", StaticFiles(directory=FOLDER / "page", check_dir=False))
    app.mount("/docs", StaticFiles(directory=FOLDER / "swagger", html=True))
