"""What a request can be refused for: a status, and an answer that says it in one line."""

from dataclasses import dataclass

from pydantic import BaseModel

from glioseg.core.errors import GliosegError


class Cause(BaseModel):
    """Why there is no answer: `rule` and `field` say which expectation failed, and of which file."""

    code: str
    field: str | None = None
    rule: str | None = None
    message: str


class Refusal(BaseModel):
    """The body of every answer that is an error."""

    error: Cause


@dataclass(eq=False)
class RequestError(GliosegError):
    """A request that is not answered as wished; it never holds more than the client may read.

    `retry_after_s`: when it may be worth asking again.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    rule: str | None = None
    retry_after_s: int | None = None

    @property
    def body(self) -> bytes:
        """What the client reads, as JSON."""
        cause = Cause(code=self.code, field=self.field, rule=self.rule, message=self.message)
        return Refusal(error=cause).model_dump_json().encode()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to it."""
        headers = {"Content-Type": "application/json"}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers


def bad_request(message: str, *, field: str | None = None) -> RequestError:
    """A request that is no form as `POST /segment` takes it."""
    return RequestError(400, "bad_request", message, field)
