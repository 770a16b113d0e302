"""The form of `POST /segment`, read within limits: nothing is written to disk, and no file's name is used."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES, ROLES
from glioseg.serving.errors import RequestError, bad_request

CHOICES = ("mirror", "entropy", "probabilities")
MULTIPART = "multipart/form-data"
YES_NO = {"true": True, "false": False}


@dataclass(frozen=True)
class Upload:
    """What a client sent: the bytes of its files by role, and its wishes.

    `mirror` None: as the model has it.
    """

    files: dict[str, bytes]
    scheme: Scheme = Scheme.BRATS2021
    mirror: bool | None = None
    entropy: bool = False
    probabilities: bool = False


class _InMemory(MultiPartParser):
    """Scans are patients' data: nothing of them spills into a temporary file."""

    spool_max_size = 0


async def read_upload(request: Request, *, most_bytes: int) -> Upload:
    """Read a request's form.

    Args:
        request: whose body nobody has read.
        most_bytes: of the whole body.

    Raises:
        RequestError: 413, more bytes; 400, no such form.
    """
    kind = request.headers.get("Content-Type", "")
    if not kind.lower().startswith(MULTIPART):
        raise RequestError(415, "bad_request", f"expected {MULTIPART}")
    if int(request.headers.get("Content-Length", "0")) > most_bytes:
        raise _too_large(most_bytes)
    body = _limited(request, most_bytes)
    try:
        form = await _InMemory(request.headers, body, max_files=len(ROLES), max_fields=8).parse()
    except MultiPartException as error:
        raise bad_request(f"expected {MULTIPART}: {error.message}") from None
    try:
        return await _as_upload(form)
    finally:
        await form.close()


async def _limited(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    got = 0
    async for chunk in request.stream():
        got += len(chunk)
        if got > most_bytes:
            raise _too_large(most_bytes)
        yield chunk


def _too_large(most_bytes: int) -> RequestError:
    return RequestError(413, "too_large", f"expected at most {most_bytes / 1e6:g} MB")


async def _as_upload(form: FormData) -> Upload:
    items = form.multi_items()
    names = [name for name, _ in items]
    for name in names:
        if name not in (*ROLES, "scheme", *CHOICES):
            raise bad_request(f"unknown field: expected {', '.join((*ROLES, 'scheme', *CHOICES))}")
        if names.count(name) > 1:
            raise bad_request("expected one value", field=name)
    found = {name: await _file(name, value) for name, value in items if name in ROLES}
    wishes = {name: _word(name, value) for name, value in items if name not in ROLES}
    return Upload(
        {role: content for role in ROLES if (content := found.get(role)) is not None},
        _scheme(wishes.get("scheme", Scheme.BRATS2021)),
        **{name: _yes_or_no(name, wishes[name]) for name in CHOICES if name in wishes},
    )


async def _file(name: str, value: UploadFile | str) -> bytes | None:
    """A file's content; a browser sends a file that was not chosen too, without name and content."""
    if isinstance(value, str):
        raise bad_request("expected a file, got text", field=name)
    content = await value.read()
    return content if content or value.filename else None


def _word(name: str, value: UploadFile | str) -> str:
    if not isinstance(value, str):
        raise bad_request("expected text, got a file", field=name)
    return value


def _scheme(word: str) -> Scheme:
    try:
        return Scheme(word)
    except ValueError:
        raise bad_request(f"expected one of {', '.join(Scheme)}", field="scheme") from None


def _yes_or_no(name: str, word: str) -> bool:
    if word.lower() not in YES_NO:
        raise bad_request("expected true or false", field=name)
    return YES_NO[word.lower()]


def form_schema() -> dict[str, Any]:
    """The form, as OpenAPI describes it."""
    file = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = {
        name: file | {"description": f"{name}: a NIfTI file, gzip or not"} for name in MODALITIES
    }
    properties["seg"] = file | {"description": "the true segmentation: the answer then tells the Dice"}
    scheme = {"type": "string", "enum": list(Scheme), "default": Scheme.BRATS2021}
    properties["scheme"] = scheme | {"description": "label values of `seg` and of the answer"}
    texts = {
        "mirror": "average over eight mirror images, or not; without it, as the model has it",
        "entropy": "also a map of how unsure each voxel is, 0 to 2 bits",
        "probabilities": "also a map of the probability of each region",
    }
    properties |= {name: {"type": "boolean", "description": texts[name]} for name in CHOICES}
    return {"type": "object", "properties": properties, "additionalProperties": False}
