"""The form of `POST /segment`: read into memory within a size limit, without using any file name."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.serving.schemas import RequestError, bad_request

FLAGS = ("mirror", "entropy", "probabilities", "picture")
MULTIPART = "multipart/form-data"
BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Upload:
    """A request: the bytes of its files by role, and its options.

    `mirror`: None for the model's own setting.
    """

    files: dict[str, bytes]
    scheme: LabelScheme = LabelScheme.BRATS2021
    mirror: bool | None = None
    entropy: bool = False
    probabilities: bool = False
    picture: bool = False


class _InMemory(MultiPartParser):
    """Keeps files in memory: scans are patient data and must not reach a temporary file."""

    spool_max_size = 0


async def read_upload(request: Request, *, max_bytes: int) -> Upload:
    """Read the form of a request.

    Args:
        request: its body has not been read yet.
        max_bytes: maximum size of the whole body.

    Raises:
        RequestError: 413, the body is too large; 415, it is not a form; 400, the form is not valid.
    """
    kind = request.headers.get("Content-Type", "")
    if not kind.lower().startswith(MULTIPART):
        raise RequestError(415, "bad_request", f"expected {MULTIPART}")
    if int(request.headers.get("Content-Length", "0")) > max_bytes:
        raise _too_large(max_bytes)
    body = _limited(request, max_bytes)
    try:
        form = await _InMemory(request.headers, body, max_files=len(ROLES), max_fields=8).parse()
    except MultiPartException as error:
        raise bad_request(f"expected {MULTIPART}: {error.message}") from None
    try:
        return await _as_upload(form)
    finally:
        await form.close()


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, "too_large", f"expected at most {max_bytes / 1e6:g} MB")


async def _as_upload(form: FormData) -> Upload:
    items = form.multi_items()
    names = [name for name, _ in items]
    for name in names:
        if name not in (*ROLES, "scheme", *FLAGS):
            raise bad_request(f"unknown field: expected {', '.join((*ROLES, 'scheme', *FLAGS))}")
        if names.count(name) > 1:
            raise bad_request("expected one value", field=name)
    files = {name: await _file(name, value) for name, value in items if name in ROLES}
    options = {name: _text(name, value) for name, value in items if name not in ROLES}
    return Upload(
        {role: content for role in ROLES if (content := files.get(role)) is not None},
        _scheme(options.get("scheme", LabelScheme.BRATS2021)),
        **{name: _boolean(name, options[name]) for name in FLAGS if name in options},
    )


async def _file(name: str, value: UploadFile | str) -> bytes | None:
    """The content of a file; None for an empty field, which a browser sends without name and content."""
    if isinstance(value, str):
        raise bad_request("expected a file, got text", field=name)
    content = await value.read()
    return content if content or value.filename else None


def _text(name: str, value: UploadFile | str) -> str:
    if not isinstance(value, str):
        raise bad_request("expected text, got a file", field=name)
    return value


def _scheme(text: str) -> LabelScheme:
    try:
        return LabelScheme(text)
    except ValueError:
        raise bad_request(f"expected one of {', '.join(LabelScheme)}", field="scheme") from None


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise bad_request("expected true or false", field=name)
    return BOOLEANS[text.lower()]


def form_schema() -> dict[str, Any]:
    """The OpenAPI schema of the form."""
    file = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = {
        name: file | {"description": f"{name}: a NIfTI file, compressed or not"} for name in MODALITIES
    }
    properties["seg"] = file | {"description": "true segmentation; the response then contains the Dice"}
    scheme = {"type": "string", "enum": list(LabelScheme), "default": LabelScheme.BRATS2021}
    properties["scheme"] = scheme | {"description": "label values of `seg` and of the response"}
    descriptions = {
        "mirror": "whether to average over the eight mirror images; default: the setting of the model",
        "entropy": "whether to add a map of the entropy of each voxel's label, 0 to 2 bits",
        "probabilities": "whether to add a probability map of each region",
        "picture": "whether to add a PNG of three planes through the tumour, with the label map over them",
    }
    properties |= {name: {"type": "boolean", "description": descriptions[name]} for name in FLAGS}
    return {"type": "object", "properties": properties, "additionalProperties": False}
