"""A request, checked against its route: what handlers are given."""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from api_types import (
    HTTP_STATUS,
    JSON,
    PATH_PARAMETERS,
    ApiError,
    ErrorCode,
    Route,
    parse_json,
    parse_query,
)

BODY_TIMEOUT_S = 30.0

_FORM_KINDS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What the form of a web page can send without being asked for permission."""

Query_co = TypeVar("Query_co", covariant=True)
Body_co = TypeVar("Body_co", covariant=True)
_Bytes = TypeVar("_Bytes", bytes, bytearray)

_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(type_) for name, (type_, _) in PATH_PARAMETERS.items()
}


class Call(msgspec.Struct, Generic[Query_co, Body_co], frozen=True, kw_only=True):
    """One request with everything in it valid."""

    request: web.Request
    path: Mapping[str, str]
    query: Query_co
    body: Body_co
    size_bytes: int
    """Of the body."""
    answer_type: str | None
    """Which of the route's content types the client prefers."""
    identity: str
    correlation_id: str
    answer_headers: dict[str, str]
    """What every answer to this request carries; the edge adds it where nothing was sent yet."""
    said: Any = None
    """What the head says that only this route asks for, where it was read before."""


def path_of(request: web.Request, route: Route) -> Mapping[str, str]:
    """Return the path's parameters in their canonical form.

    A value that cannot name anything is answered like one that names nothing. Raises ApiError.
    """
    found: dict[str, str] = {}
    for name in route.path_parameters:
        try:
            found[name] = str(_ADAPTERS[name].validate_strings(request.match_info[name]))
        except ValidationError:
            code = next(
                (code for code in route.errors if HTTP_STATUS[code] == 404), ErrorCode.NOT_FOUND
            )
            raise ApiError(code, f"{name}: this is no valid id, so nothing has it") from None
    return found


def query_of(request: web.Request, route: Route) -> Any:
    """Return the query as the route's model. Raises ApiError."""
    return None if route.query is None else parse_query(route.query, request.query.items())


async def body_of(request: web.Request, route: Route, *, max_bytes: int) -> tuple[Any, int]:
    """Return the body as the route's model, and its size. Raises ApiError."""
    if route.request is None:
        check_body(request, max_bytes=max_bytes)
        return None, 0
    raw = await read_body(request, max_bytes=max_bytes)
    if not raw:
        if route.request_required:
            raise ApiError(ErrorCode.INVALID_PARAMS, "the body is empty; it must be a JSON object")
        return (route.request() if route.request_defaults else None), 0
    return parse_json(route.request, raw), len(raw)


async def read_body(request: web.Request, *, max_bytes: int) -> bytes:
    """Return the bytes of a JSON body within the limit. Raises ApiError."""
    check_body(request, max_bytes=max_bytes)
    return await _read(request, max_bytes)


def check_body(request: web.Request, *, max_bytes: int) -> None:
    """Refuse a body by its headers, before any of it is read. Raises ApiError."""
    _check_content_type(request)
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)


def offered_by(route: Route) -> tuple[str, ...]:
    """Return the content types of a route's answers, the preferred one first."""
    return tuple(dict.fromkeys(a.content_type for a in route.answers if a.content_type))


def answer_type_of(request: web.Request, offered: tuple[str, ...]) -> str | None:
    """Choose among the content types that a route offers. Raises ApiError."""
    accept = request.headers.getall(hdrs.ACCEPT, [])
    if not offered:
        return None
    chosen = negotiate(",".join(accept), offered)
    if chosen is None:
        raise ApiError(
            ErrorCode.NOT_ACCEPTABLE,
            f"this answer is {' or '.join(offered)}, and Accept leaves neither",
        )
    return chosen


@lru_cache(maxsize=256)
def negotiate(accept: str, offered: tuple[str, ...]) -> str | None:
    """Pick what the header likes best, the first offered where it does not care."""
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return offered[0]
    refused = {kind for kind, quality in ranges if quality <= 0}
    for kind, quality in sorted(ranges, key=lambda item: -item[1]):
        for candidate in offered:
            plain = candidate.partition(";")[0]
            if quality > 0 and plain not in refused and _covers(kind, plain):
                return candidate
    return None


def _media_range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _covers(kind: str, plain: str) -> bool:
    return kind in ("*/*", plain) or (kind.endswith("/*") and plain.startswith(kind[:-1]))


def _check_content_type(request: web.Request) -> None:
    given = request.headers.getall(hdrs.CONTENT_TYPE, [])
    kinds = [kind.partition(";")[0].strip().lower() for kind in given]
    if not request.body_exists and _FORM_KINDS.isdisjoint(kinds):
        return  # Some clients name a kind for the empty body of a POST.
    if kinds != [JSON]:
        raise ApiError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"a body must have the Content-Type {JSON}"
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "a body must come without an encoding")


async def _read(request: web.Request, max_bytes: int) -> bytes:
    """Read no more than the limit, whatever Content-Length says."""
    content = request.content
    if content.is_eof() and content.exception() is None:
        return _within(await content.read(), max_bytes)  # It came along with the headers.
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while chunk := await content.readany():
                raw += chunk
                _within(raw, max_bytes)
    except TimeoutError:
        raise ApiError(
            ErrorCode.INVALID_PARAMS, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s"
        ) from None
    except web.RequestPayloadError:
        raise ApiError(ErrorCode.INVALID_PARAMS, "the body is cut or wrongly chunked") from None
    return bytes(raw)


def _within(raw: _Bytes, max_bytes: int) -> _Bytes:
    if len(raw) > max_bytes:
        raise _too_large(max_bytes)
    return raw


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(
        ErrorCode.PAYLOAD_TOO_LARGE,
        f"the body is over the limit of {max_bytes} bytes",
    )
