"""What a route of the API is made of."""

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from api_types.errors import ErrorBody, ErrorCode
from pool_registry_types import ClientModel, ServiceModel

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
METRICS_TEXT = "text/plain; version=0.0.4"

Method = Literal["GET", "POST", "PATCH", "DELETE"]


COMMON_ERRORS = (
    ErrorCode.MISSING_TOKEN,
    ErrorCode.BAD_TOKEN,
    ErrorCode.FORBIDDEN,
    ErrorCode.NOT_FOUND,
    ErrorCode.MISDIRECTED_REQUEST,
    ErrorCode.INTERNAL,
)
"""What any route may answer: the doors, and what went wrong inside."""

BODY_ERRORS = (
    ErrorCode.INVALID_PARAMS,
    ErrorCode.PAYLOAD_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
)
"""What any route that reads a body may answer."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header that a route reads or an answer carries."""

    name: str
    description: str
    type_: Any = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One way in which a route answers when nothing is wrong."""

    status: int
    description: str
    model: type[ServiceModel] | None = None
    """What the JSON body is; None: no body, or one that `content_type` alone describes."""
    content_type: str | None = None
    headers: tuple[Header, ...] = ()
    native_events: bool = True
    """Of an event stream: whether it has the frames of a task."""

    @classmethod
    def json(cls, model: type[ServiceModel], description: str, status: int = 200) -> Self:
        """Return an answer whose body is a model."""
        return cls(status=status, description=description, model=model, content_type=JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API.

    Each `{name}` in the path is a key of `PATH_PARAMETERS`. `errors` are the codes of this route;
    `all_errors` adds those that any route of its kind may answer.
    """

    method: Method
    path: str
    operation_id: str
    summary: str
    tag: str
    answers: tuple[Answer, ...]
    query: type[ClientModel] | None = None
    request: type[ClientModel] | type[ServiceModel] | None = None
    """A `ServiceModel` where another program of ours calls."""
    request_required: bool = True
    request_defaults: bool = True
    """Without a body the request is one with its defaults, else there is none."""
    headers: tuple[Header, ...] = ()
    errors: tuple[ErrorCode, ...] = ()
    error_body: type[ServiceModel] = ErrorBody
    error_code_at: tuple[str, ...] = ("code",)
    """Where in `error_body` the code stands."""
    cloud_only: bool = False
    """Served where the nodes are other processes; elsewhere there is nothing at this path."""

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path, in their order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def all_errors(self) -> tuple[ErrorCode, ...]:
        """Every code that this route may answer."""
        codes = {*COMMON_ERRORS, *self.errors}
        if self.request is not None:
            codes.update(BODY_ERRORS)
        if self.query is not None or self.headers:
            codes.add(ErrorCode.INVALID_PARAMS)
        return tuple(sorted(codes))
